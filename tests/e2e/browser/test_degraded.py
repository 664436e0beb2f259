"""The pages while a service fails: they show the remaining data, and recover when the service responds again."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, expect
from tests.e2e.browser.conftest import OpenShop

from testkit.stack import Stack

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.usefixtures("remove_faults")]

CATALOG_SIZE = 30
MAX_LOADS = 30
CIRCUIT_TIMEOUT_MS = 60_000

NO_FAULT = "none"

SetFault = Callable[[str, str], None]


@pytest.fixture
def set_fault(stack: Stack) -> SetFault:
    """Return a function that injects a fault of a kind into all calls of the gateway to a service.

    The kind NO_FAULT removes the fault.
    """

    def run_console(target: str, kind: str) -> None:
        all_calls = () if kind == NO_FAULT else ("--value", "100")
        done = stack.run("console", "fault", "--target", target, "--kind", kind, *all_calls)
        assert done.returncode == 0, done.stdout + done.stderr

    return run_console


def load_until_visible(element: Locator, load: Callable[[], object]) -> None:
    """Load data again until the element is visible, because faults start and circuits close with a delay."""
    for _ in range(MAX_LOADS):
        load()
        try:
            expect(element).to_be_visible(timeout=1_000)
        except AssertionError:
            continue
        return
    expect(element).to_be_visible()


def test_dashboard_marks_the_missing_part_while_a_service_fails(
    device: BrowserContext, open_shop: OpenShop, set_fault: SetFault
) -> None:
    shop = open_shop(device)
    shop.register()
    set_fault("notifications", "errors")
    shop.open("/dashboard")
    main = shop.page.get_by_role("main")
    load_again = shop.page.get_by_role("button", name="Load again").click
    load_until_visible(main.get_by_text("Not available now: notifications"), load_again)
    expect(main.locator("[data-degraded=true]")).to_contain_text("Not available now.")
    expect(main.get_by_text("No orders yet.")).to_be_visible()
    set_fault("notifications", NO_FAULT)
    load_until_visible(main.get_by_text("1 unread"), load_again)
    expect(main.locator("[data-degraded=true]")).to_have_count(0)


def test_catalog_shows_the_time_of_the_next_attempt_and_loads_when_the_service_responds_again(
    device: BrowserContext, open_shop: OpenShop, set_fault: SetFault
) -> None:
    shop = open_shop(device)
    set_fault("orders", "errors")
    shop.open("/")
    banner = shop.page.get_by_role("status").filter(has_text="The shop is busy.")
    load_until_visible(banner, shop.page.reload)
    expect(banner).to_contain_text(re.compile(r"Next attempt in \d+ s"))
    set_fault("orders", NO_FAULT)
    products = shop.page.locator(".card")
    retry_button = shop.page.get_by_role("button", name="Try again")
    expect(products.or_(retry_button).first).to_be_visible()
    if retry_button.count():  # the page used all its attempts before the circuit closed
        retry_button.click(timeout=CIRCUIT_TIMEOUT_MS)
    expect(products).to_have_count(CATALOG_SIZE)
    expect(banner).to_have_count(0)
