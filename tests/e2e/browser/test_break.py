"""The page `/break`: it injects faults, shows their effects, and shows that the WebSocket resumed without a gap."""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.e2e.browser.conftest import OpenShop

from testkit.shop import Shop
from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

SKU = "BOOK-HOPS"
ADMIN_PASSWORD = "hopline-admin"
TIMEOUT_MS = 60_000
"""Timeout for the reaction to a fault. A circuit breaker opens after at least ten calls, and admits a probe
five seconds later. It closes if the probe succeeds."""
TOKEN_PREFIX = "eyJ"
"""The first characters of every JWT: its header begins with `{"` and a letter, and is encoded in base64."""


@pytest.fixture
def shop(device: BrowserContext, open_shop: OpenShop) -> Shop:
    """Open the application in a tab that may log errors, because the faults cause some."""
    return open_shop(device)


def unlock_switches(page: Page, password: str = ADMIN_PASSWORD) -> None:
    page.get_by_label("Password of the admin").fill(password)
    page.get_by_role("button", name="Unlock the switches").click()


def find_switch(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


@pytest.mark.usefixtures("remove_faults")
def test_page_shows_the_fault_and_its_effects_while_it_is_active(shop: Shop) -> None:
    page = shop.page
    shop.register()
    shop.open("/break")
    unlock_switches(page)
    errors_switch = find_switch(page, "errors for calls gateway → orders")
    errors_switch.click()
    expect(errors_switch).to_have_attribute("aria-pressed", "true")
    active_faults = page.locator(".active-faults > li")
    expect(active_faults).to_have_count(1)
    expect(active_faults).to_contain_text(re.compile(r"gateway → orders: errors for \d+ s"))

    page.get_by_role("button", name="Send it every second").click()
    effects = page.locator(".effects")
    expect(effects).to_contain_text("The dashboard came without orders")
    circuit = page.locator("[data-upstream=orders] .circuit")
    expect(circuit).to_have_attribute("data-circuit", "open", timeout=TIMEOUT_MS)
    expect(effects).to_contain_text("The circuit of orders is open: no calls")
    page.get_by_label("Request").select_option("orders")
    expect(effects).to_contain_text(re.compile(r"GET /v2/orders: 503.*try again in \d+ s"))

    page.get_by_role("button", name="Switch off the fault of gateway → orders").click()
    expect(active_faults).to_have_count(0)
    expect(errors_switch).to_have_attribute("aria-pressed", "false")
    expect(circuit).to_have_attribute("data-circuit", "closed", timeout=TIMEOUT_MS)
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Request").select_option("dashboard")
    expect(effects).to_contain_text("The dashboard is complete", timeout=TIMEOUT_MS)


@pytest.mark.usefixtures("remove_faults")
def test_page_lists_retried_calls(shop: Shop) -> None:
    page = shop.page
    shop.register()
    shop.open("/break")
    unlock_switches(page)
    page.get_by_label("Affected calls").select_option("a fifth")
    find_switch(page, "errors for calls gateway → orders").click()
    expect(page.locator(".active-faults > li")).to_contain_text("errors in 20 % of the calls")
    page.get_by_label("Request").select_option("orders")
    page.get_by_role("button", name="Send it every second").click()
    expect(page.locator(".effects")).to_contain_text(
        re.compile(r"GET /v2/orders: 200 after retries: orders \("), timeout=TIMEOUT_MS
    )
    page.get_by_role("button", name="Switch off the fault of gateway → orders").click()
    expect(page.locator(".active-faults > li")).to_have_count(0)


def test_login_of_the_admin_exists_only_in_the_memory_of_the_page(shop: Shop) -> None:
    page = shop.page
    shop.open("/break")
    unlock_switches(page, "wrong")
    expect(page.get_by_role("main").get_by_role("alert")).to_be_visible()
    unlock_switches(page)
    expect(page.get_by_role("table").first).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert TOKEN_PREFIX not in stored, "a token is stored"
    page.reload()
    expect(page.get_by_label("Password of the admin")).to_be_visible()


def test_page_resumes_without_a_gap_when_notifications_is_killed(shop: Shop, stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("kills a process, so it needs a stack that the tests started")
    page = shop.page
    shop.register()
    shop.place_order(SKU)
    stack.operator.kill("notifications")
    shop.expect_shipped()
    for name in ("push", "packed", "shipped"):
        expect(page.locator(f"[data-hop={name}]")).to_have_attribute("data-state", "reached", timeout=TIMEOUT_MS)
    expect(shop.connection).to_have_attribute("data-phase", "open", timeout=TIMEOUT_MS)

    shop.open("/notifications")
    expect(shop.notifications.first).to_contain_text("shipped")
    assert shop.notification_seqs() == [4, 3, 2, 1]
    shop.open("/break")
    expect(page.locator("[data-resumed]")).to_contain_text("Resumed without gap", timeout=TIMEOUT_MS)
    # The first check of `data-phase` may have found the old socket, because the page notices the end of a socket late.
    # A page that has resumed has a new socket.
    expect(shop.connection).to_have_attribute("data-phase", "open", timeout=TIMEOUT_MS)
