"""A real browser for the tests: the system's Chromium, driven by Playwright.

Chromium is looked for by the names below, and first under MINIGAN_CHROMIUM. Playwright downloads
no browser. Without Chromium or Playwright the tests that need them skip, and say why.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 800), (390, 844)  # CSS pixels


def find_chromium() -> str | None:
    """The path of Chromium, or None. MINIGAN_CHROMIUM, if set, is used and nothing else."""
    chosen = os.environ.get("MINIGAN_CHROMIUM")
    candidates = [shutil.which(name) for name in ([chosen] if chosen else NAMES)]
    return next((path for path in candidates if path), None)


@contextlib.contextmanager
def started() -> Iterator[Any]:
    """A headless Chromium, as a browser of Playwright; the test is skipped without one."""
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no {module}: pip install 'minigan[test]'")
    path = find_chromium()
    if path is None:
        pytest.skip(f"no Chromium ({', '.join(NAMES)}): install it, or set MINIGAN_CHROMIUM")
    from playwright.sync_api import sync_playwright

    as_root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium has no sandbox for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if as_root else []
        )
        yield browser
        browser.close()


class Visits:
    """Opens pages from file: URLs, and remembers what each did that it should not.

    Args:
        browser: from `started`.

    Attributes:
        complaints: errors and warnings in the console, exceptions, and every request but the one
            for the page itself.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.complaints: list[str] = []
        self._contexts: list[Any] = []
        self._opened: set[str] = set()

    def open(self, file: Path, size: tuple[int, int] = DESKTOP, **options: Any) -> Any:
        """The page of Playwright that shows `file`, in a window of its own.

        Args:
            file: an HTML file.
            size: of the window, in CSS pixels.
            options: of the browser's context, such as color_scheme="dark".
        """
        width, height = size
        options = {"locale": "en-GB"} | options
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(10_000)  # ms
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", self._asked)
        self.show(page, file)
        return page

    def show(self, page: Any, file: Path) -> None:
        """Show another file in a page that `open` made."""
        url = file.resolve().as_uri()
        self._opened.add(url)
        page.goto(url)

    def close(self) -> None:
        """Close every page that was opened."""
        for context in self._contexts:
            for page in context.pages:
                page.evaluate("0")  # what it has complained of by now has been heard after this
            context.close()

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if request.url not in self._opened:
            self.complaints.append(f"request: {request.url[:200]}")


@contextlib.contextmanager
def visits(browser: Any) -> Iterator[Visits]:
    """`Visits` that fail at the end if any page complained."""
    visitor = Visits(browser)
    try:
        yield visitor
    finally:
        visitor.close()
    assert not visitor.complaints, "\n".join(visitor.complaints)
