"""`python -m testkit.screenshots`: place orders on the running embedded stack, and replace the images in docs/images.

Run the command after a change of the shop's or the observatory's pages, on a stack of `make up MODE=embedded`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import BrowserContext, ViewportSize, expect

from testkit.browser import clean_page, running_chromium
from testkit.shop import Shop
from testkit.stack import Stack

FOLDER = Path(__file__).resolve().parents[4] / "docs" / "images"
_SHOP_SIZE = ViewportSize(width=1280, height=1180)
_TRACE_SIZE = ViewportSize(width=1280, height=980)
_MAP_SIZE = ViewportSize(width=1280, height=620)
_TRACE_TIMEOUT_MS = 60_000


def main() -> None:
    """Place orders and replace all images."""
    command = [sys.executable, "-m", "console", "demo", "--json"]
    demo = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - a program of this repository
    trace_url = str(json.loads(demo.stdout)["trace_url"])
    with running_chromium() as browser:
        _take_shop(browser, Stack(offset=int(os.environ.get("HOPLINE_PORT_OFFSET", "0"))).gateway)
        _take(browser, trace_url, "trace.png", size=_TRACE_SIZE, ready="li.span")
        _take(browser, urljoin(trace_url, "/map"), "service-map.png", size=_MAP_SIZE, ready="svg.map")


def _take_shop(browser: BrowserContext, url: str) -> None:
    """Save a screenshot of a shipped order with its hops and its trace."""
    with clean_page(browser) as page:
        page.set_viewport_size(_SHOP_SIZE)
        shop = Shop(page=page, url=url)
        shop.register()
        shop.place_order("BOOK-HOPS")
        shop.expect_shipped()
        expect(page.locator(".waterfall-row").first).to_be_visible(timeout=_TRACE_TIMEOUT_MS)
        page.screenshot(path=FOLDER / "shop.png")


def _take(browser: BrowserContext, url: str, name: str, *, size: ViewportSize, ready: str) -> None:
    """Save a screenshot of the page at `url` when an element with the CSS selector `ready` is visible."""
    with clean_page(browser) as page:
        page.set_viewport_size(size)
        page.goto(url)
        expect(page.locator(ready).first).to_be_visible()
        page.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    main()
