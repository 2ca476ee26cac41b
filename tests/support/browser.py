"""The system's Chromium, driven: whatever it asks for, says or runs into is noted."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """Where it is; without it a test is skipped, but for CI, where it fails."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        said = "needs Chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """The browser, while the block lasts."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where nothing is driven it need not be there

    path = chromium()
    with sync_playwright() as playwright:
        # Started by root, as in a container, it has no sandbox. It may not look around by itself either.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def looking(browser: Browser, **how: Any) -> Iterator[Page]:
    """A page; in the end nothing was amiss with it: no error, no warning, nothing asked of another host, no dialog."""
    context = browser.new_context(**{"viewport": {"width": 1_280, "height": 860}, **how})
    context.set_default_timeout(60_000)
    page = context.new_page()
    amiss: list[str] = []
    page.on("console", lambda said: amiss.append(f"{said.type}: {said.text}") if said.type in _AMISS else None)
    page.on("pageerror", lambda error: amiss.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (amiss.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: amiss.append(f"asked: {request.url}") if not _here(request.url) else None)
    yield page
    context.close()
    assert [] == amiss


_AMISS = ("error", "warning")


def _here(url: str) -> bool:
    where = urlsplit(url)
    return where.hostname == "127.0.0.1" or where.scheme in ("file", "data", "about")
