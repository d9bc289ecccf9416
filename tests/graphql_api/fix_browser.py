"""A headless Chromium for tests of the pages, and a watch over what a page does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from telestream.graphql.pages import DIST

_TIMEOUT = 60_000
# Also what a browser does by itself, such as looking for updates, reaches nothing.
_ARGUMENTS = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking")


def find_chromium() -> str | None:
    """Return the path of the machine's Chromium; `./bootstrap.sh --tests` installs Debian's."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launched(playwright: Any) -> Browser:
    """Return a browser; as root Chromium has no sandbox."""
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return playwright.chromium.launch(executable_path=find_chromium(), args=arguments)


@dataclass
class Visit:
    """A page, and what it asked for and complained of."""

    page: Page
    base: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def strangers(self) -> list[str]:
        """Addresses other than the service's that were asked for anything."""
        own = (self.base, self.base.replace("http", "ws", 1), "data:", f"blob:{self.base}")
        return [url for url in self.requests if not url.startswith(own)]


def watched(context: BrowserContext, base: str) -> Visit:
    """Open a page and note what it does."""
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT)
    visit = Visit(page, base)
    # Of workers as well.
    context.on("request", lambda request: visit.requests.append(request.url))
    page.on("websocket", lambda socket: visit.requests.append(socket.url))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", lambda said: visit.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    return visit


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, for one file of tests: Playwright occupies the thread's event loop while it lives."""
    if not (DIST / "index.html").exists():
        pytest.skip("the pages are not built: run ./bootstrap.sh, which needs the npm registry")
    if find_chromium() is None:
        pytest.skip("no chromium: ./bootstrap.sh --tests installs it as root, else sudo apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=_TIMEOUT)
        running = launched(playwright)
        yield running
        running.close()


__all__ = ["Visit", "browser", "find_chromium", "launched", "watched"]
