"""A browser for each module, and pages of the browser application.

The browser has module scope, because its driver keeps an event loop running. A session-scoped browser would prevent
later tests of coroutines.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext

from testkit.browser import clean_page, running_chromium
from testkit.shop import Account, Shop
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S

NewDevice = Callable[[], BrowserContext]
OpenShop = Callable[[BrowserContext], Shop]
OrderIdsOf = Callable[[Account], list[str]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as context:
        assert context.browser is not None
        yield context.browser


@pytest.fixture
def new_device(browser: Browser) -> Iterator[NewDevice]:
    """`new_device()`: a separate browser profile, like another device."""
    with ExitStack() as devices:

        def create() -> BrowserContext:
            context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
            context.set_default_timeout(TIMEOUT_S * 1000)
            devices.callback(context.close)
            return context

        yield create


@pytest.fixture
def device(new_device: NewDevice) -> BrowserContext:
    return new_device()


@pytest.fixture
def shop(device: BrowserContext, stack: Stack) -> Iterator[Shop]:
    """The application in a page that fails the test if it logs an error or requests another host."""
    with clean_page(device) as page:
        yield Shop(page=page, url=stack.gateway)


@pytest.fixture
def open_shop(stack: Stack) -> OpenShop:
    """`open_shop(device)`: the application in another tab. Errors in its console do not fail the test."""
    return lambda device: Shop(page=device.new_page(), url=stack.gateway)


@pytest.fixture
def order_ids_of(stack: Stack) -> OrderIdsOf:
    """`order_ids_of(account)`: the ids of the orders that the API lists."""

    def list_ids(account: Account) -> list[str]:
        with httpx.Client(base_url=stack.gateway, timeout=TIMEOUT_S) as client:
            form = {"grant_type": "password", "username": account.email, "password": account.password}
            token = client.post("/v2/tokens", data=form).raise_for_status().json()["access_token"]
            listed = client.get("/v2/orders", headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()
        return [order["id"] for order in listed["items"]]

    return list_ids
