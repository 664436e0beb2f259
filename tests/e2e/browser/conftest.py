"""A browser for each module, and pages of the browser application.

The browser has module scope, because its driver keeps an event loop running. With a session-scoped browser, later tests
could not run coroutines.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext

from testkit.apps import TLS
from testkit.browser import clean_page, open_context, running_chromium
from testkit.shop import Account, Shop
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S

NewDevice = Callable[[], BrowserContext]
OpenShop = Callable[[BrowserContext], Shop]
ListOrderIds = Callable[[Account], list[str]]


@contextmanager
def api_client(stack: Stack, account: Account) -> Iterator[httpx.Client]:
    """Log in, and open a client of the gateway that sends the access token."""
    with httpx.Client(base_url=stack.gateway, timeout=TIMEOUT_S, verify=TLS) as client:
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        token = client.post("/v2/tokens", data=form).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as context:
        assert context.browser is not None
        yield context.browser


@pytest.fixture
def new_device(browser: Browser) -> Iterator[NewDevice]:
    """Return a function that opens a separate browser profile, like another device."""
    with ExitStack() as devices:

        def open_device() -> BrowserContext:
            context = open_context(browser)
            context.set_default_timeout(TIMEOUT_S * 1000)
            devices.callback(context.close)
            return context

        yield open_device


@pytest.fixture
def device(new_device: NewDevice) -> BrowserContext:
    return new_device()


@pytest.fixture
def shop(device: BrowserContext, stack: Stack) -> Iterator[Shop]:
    """Open the application in a page. The test fails if the page logs an error or requests another host."""
    with clean_page(device) as page:
        yield Shop(page=page, url=stack.gateway)


@pytest.fixture
def open_shop(stack: Stack) -> OpenShop:
    """Return a function that opens the application in a new tab of a device. The tab may log errors."""
    return lambda device: Shop(page=device.new_page(), url=stack.gateway)


@pytest.fixture
def remove_faults(stack: Stack) -> Iterator[None]:
    """Remove all faults after the test, also if it failed. Otherwise they would affect the next tests."""
    yield
    done = stack.run("console", "fault", "--kind", "none")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def list_order_ids(stack: Stack) -> ListOrderIds:
    """Return a function that reads the ids of an account's orders through the API."""

    def list_ids(account: Account) -> list[str]:
        with api_client(stack, account) as client:
            orders = client.get("/v2/orders").raise_for_status().json()["items"]
        return [order["id"] for order in orders]

    return list_ids
