"""A real Chromium, for tests of what a person sees and does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 20_000  # a page is there in a fraction of it; a busy machine may take its time
_HERE = {"127.0.0.1", "localhost"}


@contextmanager
def running_chromium() -> Iterator[BrowserContext]:
    """Run a headless Chromium until the block ends; its pages share one context, which starts them fast.

    Where none is installed the tests that ask are not run and say why; in CI (`CI=true`) that is a failure. No
    coroutine may be tested within the block: the driver keeps its own event loop running.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        _tell_missing()
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
        context.set_default_timeout(_PATIENCE_MS)
        yield context
        browser.close()


@contextmanager
def clean_page(context: BrowserContext) -> Iterator[Page]:
    """A page of its own that fails at the end of the block.

    It does when it threw, wrote an error or a warning to its console, or asked another machine.
    """
    page = context.new_page()
    troubles: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            troubles.append(f"console {message.type}: {message.text}")

    def watch(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme != "data" and address.hostname not in _HERE:
            troubles.append(f"asked elsewhere: {request.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: troubles.append(f"threw: {error}"))
    page.on("request", watch)
    yield page
    page.close()
    assert troubles == []


def _tell_missing() -> None:
    reason = "no Chromium: the pages' tests need one (Debian: apt install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
