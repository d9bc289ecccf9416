"""Makes docs/images/*.png anew: the operations page and the explorer on the data of `make demo`.

Usage: .venv/bin/python docs/screenshots.py 'http://127.0.0.1:PORT/#key=KEY', with the address of a running API and a
key of role api; a minute after the demonstration, when its hours are refreshed, and within 15, while something is live.
Needs Chromium: ./bootstrap.sh --tests.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
# The cell that the demonstration lets fail from 09:10 to 09:30.
REGION, CELL = "London", "London 00016-1"

sys.path.insert(0, str(ROOT / "tests"))
from graphql_api.fix_browser import launched  # noqa: E402


def operations(page: Page, base: str, key: str) -> None:
    """Show the outage: the events of its cell, the cells around it, its alert."""
    page.goto(f"{base}/#key={key}")
    expect(page.locator("#chart canvas")).to_be_visible()
    page.locator("#region").select_option(label=REGION)
    page.locator("#alerts").get_by_role("button", name=CELL, exact=True).click()
    expect(page.get_by_role("heading", name=f"Events, {CELL}")).to_be_visible()
    page.evaluate("window.scrollTo(0, 0)")


def explorer(page: Page, base: str, key: str) -> None:
    """Show the answer to the first query of the example, and the schema beside it."""
    page.goto(f"{base}/graphql#key={key}")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.locator(".graphiql-doc-explorer")).to_contain_text("Mutation")
    page.get_by_role("button", name=re.compile("Execute query")).click()
    page.get_by_role("menuitem", name="Newest").click()
    expect(page.locator(".graphiql-response")).to_contain_text("newestEventAt")
    # The key is no picture for a document.
    page.get_by_role("button", name="Variables").click()


def shot(browser: Browser, name: str, height: int, show: Callable[[Page, str, str], None], base: str, key: str) -> None:
    """Take one picture."""
    page = browser.new_page(viewport={"width": 1280, "height": height}, reduced_motion="reduce")
    show(page, base, key)
    page.wait_for_timeout(1000)  # fonts and lines are there
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    page.close()


def main(address: str) -> None:
    """Take all pictures."""
    base, _, key = address.partition("/#key=")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = launched(playwright)
        shot(browser, "operations", 1160, operations, base, key)
        shot(browser, "explorer", 720, explorer, base, key)


if __name__ == "__main__":
    main(sys.argv[1])
