"""A real Chromium for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs in order of preference. The shell is Chromium without a user interface. It uses half as much CPU time."""

_TIMEOUT_MS = 20_000
"""Timeout for a busy machine. Most pages load in a fraction of a second."""

_THIS_MACHINE = {"127.0.0.1", "localhost"}


@contextmanager
def running_chromium() -> Iterator[BrowserContext]:
    """Run a headless Chromium until the block ends. Its pages share one context, so that they open quickly.

    If Chromium is not installed, the test is skipped, or fails in CI (`CI=true`). Coroutines cannot be tested within
    the block, because the driver runs an event loop in this thread.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        _skip_or_fail()
    expect.set_options(timeout=_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield open_context(browser)
        browser.close()


def open_context(browser: Browser) -> BrowserContext:
    """Open a browser profile with the locale, time zone and timeout of tests."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
    context.set_default_timeout(_TIMEOUT_MS)
    return context


@contextmanager
def clean_page(context: BrowserContext) -> Iterator[Page]:
    """Open a page, and fail the test at the end of the block if the page violated a rule.

    A page must not throw, write errors or warnings to its console, or send requests to another machine.
    """
    page = context.new_page()
    violations: list[str] = []

    def check_message(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            violations.append(f"console {message.type}: {message.text}")

    def check_request(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme != "data" and address.hostname not in _THIS_MACHINE:
            violations.append(f"request to another machine: {request.url}")

    page.on("console", check_message)
    page.on("pageerror", lambda error: violations.append(f"exception: {error}"))
    page.on("request", check_request)
    try:
        yield page
    finally:
        page.close()  # an open page would continue to send requests during other tests
    assert not violations, "\n".join(violations)


def _skip_or_fail() -> None:
    reason = "Chromium is not installed; the tests of pages need it (Debian: apt install chromium-headless-shell)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
