"""The page as people use it, in Chromium at the widths of a screen and a phone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.report.browsing import browser, watched
from tests.report.conftest import Repository
from wsolbench.report.page import write_page

__all__ = ["browser"]

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>Delta"
ROWS = ".scores tr[data-row]:visible"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    methods, seeds = ["alpha", "beta", "gamma", "delta"], [0, 1]
    toy = Repository(
        tmp_path_factory.mktemp("page"), methods, ["ceiling"], seeds=seeds, tracks=["absent", "toy", "masked"]
    )
    levels = {"alpha": 50.0, "beta": 60.0, "gamma": 40.0, "delta": 30.0, "ceiling": 90.0}
    for method, level in levels.items():
        for seed in seeds:
            changes: dict[str, Any] = {"title": HOSTILE} if method == "delta" else {}
            changes |= {"recipe": "searched"} if method in {"gamma", "delta"} else {}
            toy.write(method, seed, level + seed, **changes)
            toy.masks = True
            toy.write(method, seed, level + seed, track="masked", **changes)
            toy.masks = False
    plot = toy.root / "results" / "plots" / "toy" / "misses.webp"
    plot.parent.mkdir(parents=True)
    Image.new("RGB", (600, 400), "white").save(plot)
    return write_page(toy.settings, toy.root).as_uri()


@pytest.fixture(params=[1280, 390])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page, which must raise no error, ask for nothing and stay within its width, whatever a test does."""
    with watched(browser, address, request.param, "dark") as opened:
        yield opened


def titles(page: Page) -> list[str]:
    return page.locator(f"{ROWS} .method").all_inner_texts()


def test_the_first_screen_has_ranking_curves_and_images(page: Page) -> None:
    assert page.locator(".ranking .method:visible").all_inner_texts() == ["Beta", "Alpha", "Gamma", HOSTILE, "Ceiling"]
    expect(page.locator(".ranking li:visible").first).to_contain_text("59.5 ± 0.7 (±6.4)")
    assert page.locator(".curves:visible .line").count() == 5
    assert page.locator(".picture:visible").count() == 1
    if page.viewport_size == {"width": 1280, "height": 800}:
        bottom = page.locator(".picture:visible svg").first.bounding_box()
        assert bottom
        assert bottom["y"] + bottom["height"] < 800


def test_the_first_track_with_results_is_open_and_tabs_change_by_click_key_and_address(
    page: Page, address: str
) -> None:
    expect(page.get_by_role("tab", selected=True)).to_have_text("toy")
    page.get_by_role("tab", name="masked").click()
    expect(page.locator(".curves h3:visible")).to_contain_text("pIoU")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".panel:visible")).to_contain_text("nothing is ranked")
    page.get_by_role("tab", name="absent").click()
    expect(page.locator(".panel:visible")).to_contain_text("No results: 10 runs have no metrics file.")
    page.goto(f"{address}#definitions")
    expect(page.locator(".panel:visible")).to_contain_text("Numbers at the threshold chosen on val.")
    assert page.locator(".panel:visible").count() == 1


def test_a_heading_sorts_within_blocks_and_the_third_click_restores(page: Page) -> None:
    before = titles(page)
    assert before == ["Alpha", "Beta", "Gamma", HOSTILE, "Ceiling"]
    head = page.locator(".scores:visible thead").get_by_role("button", name="GT-known, val")
    head.click()
    assert titles(page) == ["Beta", "Alpha", "Gamma", HOSTILE, "Ceiling"]
    head.press("Enter")
    assert titles(page) == ["Alpha", "Beta", HOSTILE, "Gamma", "Ceiling"]
    assert page.locator(".scores:visible [aria-sort]").get_attribute("aria-sort") == "ascending"
    head.click()
    assert titles(page) == before
    assert page.locator("[aria-sort]").count() == 0


def test_rows_with_any_of_the_words_are_shown_until_reset(page: Page) -> None:
    page.locator("[type=search]:visible").fill("ALPHA searched")
    assert titles(page) == ["Alpha", "Gamma", HOSTILE]
    expect(page.locator(".board:visible output")).to_have_text("3 of 5 methods")
    assert page.locator(".scores .block:visible").count() == 2
    page.locator(".reset:visible").click()
    assert len(titles(page)) == 5


def test_groups_of_columns_are_switched_on_and_off(page: Page) -> None:
    heads = page.locator(".scores:visible thead th:visible")
    page.get_by_label("Headline").first.uncheck()
    assert not any("GT-known" in text for text in heads.all_inner_texts())
    for group, heading in {"Oracle": "MaxBoxAcc, oracle", "Misses": "misses, part, val", "Costs": "GFLOP"}.items():
        page.locator(".board:visible").get_by_label(group).check()
        assert any(heading in text for text in heads.all_inner_texts())
    cells = page.locator(ROWS).first.locator("> :visible").count()
    assert cells == heads.count()


def test_a_row_shows_its_images_and_a_name_everything(page: Page) -> None:
    page.locator(ROWS).nth(1).locator("td:visible").first.click()
    expect(page.locator(".shots figure")).to_have_count(page.locator("#track-2 .picture").count())
    page.get_by_role("button", name="Images of Beta").click()
    expect(page.locator(".shots")).to_have_count(0)
    page.locator(".ranking .method:visible", has_text="Delta").press("Enter")
    details = page.get_by_role("dialog")
    expect(details.locator("form")).to_contain_text(HOSTILE)
    expect(details.locator(".strip figure")).to_have_count(page.locator("#track-2 .picture").count())
    expect(details.locator(".chart.pointed .on")).to_have_count(1)
    expect(details).to_contain_text("training time (s)")
    expect(details).to_contain_text("toy-delta-1")
    expect(details).to_contain_text("a device")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)


def test_images_are_leafed_through_by_rule_or_all_shown(page: Page) -> None:
    gallery = page.locator(".gallery:visible")
    first = gallery.locator(".picture:visible").get_attribute("aria-label")
    gallery.get_by_role("button", name="Next image").click()
    expect(gallery.locator("output")).to_have_text("2 of 3")
    assert gallery.locator(".picture:visible").get_attribute("aria-label") != first
    gallery.get_by_role("combobox").select_option("worst")
    expect(gallery.locator("output")).to_have_text("1 of 3")
    gallery.get_by_role("checkbox").check()
    assert gallery.locator(".picture:visible").count() == 3


@pytest.mark.parametrize(("scheme", "expected"), [("dark", (0, 60)), ("light", (250, 255))])
def test_plots_are_as_dark_as_the_page(page: Page, scheme: Literal["dark", "light"], expected: tuple[int, int]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.get_by_text("Figures", exact=True).locator("visible=true").click()
    plot = page.locator(".plot img:visible")
    plot.scroll_into_view_if_needed()
    with Image.open(io.BytesIO(plot.screenshot())) as shown:
        low, high = shown.convert("L").getextrema()
    assert expected[0] <= low <= high <= expected[1]


def test_without_scripts_everything_is_shown(browser: Browser, address: str) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(address)
    assert page.locator(".panel:visible").count() == 5
    assert page.locator("dialog:visible").count() == 10
    assert page.locator("#track-2 .scores thead th:visible").count() > 40
    page.close()
