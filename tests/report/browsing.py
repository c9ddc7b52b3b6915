"""Chromium, and pages in it that must raise no error, ask for nothing and stay within their width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    assert path, "the page is tested in Chromium, and there is none: install it (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def watched(browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]) -> Iterator[Page]:
    """Open a page, which must raise no error, ask for nothing and stay within its width, whatever a test does."""
    opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened.set_default_timeout(60_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("dialog", lambda dialog: problems.append(dialog.message))
    opened.on("request", lambda asked: None if asked.url.startswith(("data:", address)) else problems.append(asked.url))
    opened.goto(address)
    yield opened
    assert problems == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.close()
