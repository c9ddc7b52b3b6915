"""Every relative link of a page leads to a file, and every anchor to a heading of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def links_of(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return [link for link in _LINK.findall(text) if not re.match(r"\w+:", link)]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub and MkDocs make of a page's headings."""
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


def missing(page: Path) -> list[str]:
    wrong = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    assert missing(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `thing` more\n[a](#one-thing-more) [b](page.md#two) [`c`](no.md) ![d](no.png) [e](https://x.org)\n"
    )
    assert missing(page) == ["page.md#two", "no.md", "no.png"]


def test_the_front_pages_have_links() -> None:
    assert len(links_of(Path("README.md"))) > 20
    assert len(links_of(Path("CONTRIBUTING.md"))) > 3


def test_the_readme_is_read_in_two_minutes() -> None:
    text = Path("README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1200
