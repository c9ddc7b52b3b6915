"""The page that is committed, as it lies in results/, in Chromium: by day and by night, on a screen and a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.report.browsing import browser, watched
from wsolbench.config.settings import read_settings

__all__ = ["browser"]

pytestmark = pytest.mark.slow

CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((k) => top[k] * top[3] + below[k] * (1 - top[3])).concat(1);
  const ground = (element) => {
    if (!element) return rgba(getComputedStyle(document.documentElement).colorScheme === "dark" ? "#121212" : "#fff");
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const opacity = (element) => (element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1);
  const found = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.closest("td, th") || !element.checkVisibility()) continue;
    const behind = ground(element), colour = rgba(getComputedStyle(element).color);
    colour[3] *= opacity(element);
    const [low, high] = [light(behind), light(over(colour, behind))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    const kind = `${colour} on ${behind.map(Math.round)}`;
    if (!(kind in found) || ratio < found[kind][0]) found[kind] = [ratio, text.slice(0, 40)];
  }
  return found;
}"""


@pytest.fixture(
    scope="module", params=[(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")], ids=str
)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, scheme = request.param
    with watched(browser, Path("results/report.html").resolve().as_uri(), width, scheme) as opened:
        yield opened


def test_each_track_is_opened_and_no_wider_than_the_screen(page: Page) -> None:
    tabs = page.get_by_role("tab")
    names = tabs.all_inner_texts()
    assert {*read_settings().run.tracks} <= {*names}
    width = page.viewport_size["width"] if page.viewport_size else 0
    for name in names:
        page.get_by_role("tab", name=name, exact=True).click()
        assert page.locator(".panel:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_a_click_on_a_heading_sorts_the_first_block(page: Page) -> None:
    page.get_by_role("tab").first.click()
    heads = page.locator(".scores:visible thead th:visible")
    before = page.locator(".scores:visible tr[data-row]:visible .method").all_inner_texts()
    assert len(before) > 5
    heads.nth(2).get_by_role("button").click()
    expect(page.locator(".scores:visible [aria-sort]")).to_have_count(1)
    after = page.locator(".scores:visible tr[data-row]:visible .method").all_inner_texts()
    assert sorted(after) == sorted(before)
    assert after != before


def test_text_of_every_table_stands_out_from_its_ground(page: Page) -> None:
    found: dict[str, tuple[float, str]] = {}
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.evaluate("document.querySelectorAll('.panel:not([hidden]) details').forEach((each) => (each.open = true))")
        found |= page.evaluate(CONTRASTS)
    assert len(found) > 1
    assert {kind: each for kind, each in found.items() if each[0] < 4.5} == {}
