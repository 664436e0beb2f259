"""The page that injects faults: it shows active faults, and the WebSocket loses no notification."""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.e2e.browser.conftest import OpenShop

from testkit.shop import Shop
from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

SKU = "BOOK-HOPS"
ADMIN_PASSWORD = "hopline-admin"
CIRCUIT_MS = 60_000


@pytest.fixture
def shop(device: BrowserContext, open_shop: OpenShop) -> Shop:
    """A page whose console may have the errors that its faults cause."""
    return open_shop(device)


def unlock(page: Page, password: str = ADMIN_PASSWORD) -> None:
    page.get_by_label("Password of the admin").fill(password)
    page.get_by_role("button", name="Unlock the switches").click()


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def test_fault_is_seen_while_it_is_active(shop: Shop) -> None:
    page = shop.page
    shop.register()
    shop.open("/break")
    unlock(page)
    errors = switch(page, "errors for calls gateway → orders")
    errors.click()
    expect(errors).to_have_attribute("aria-pressed", "true")
    active = page.locator(".active-faults > li")
    expect(active).to_have_count(1)
    expect(active).to_contain_text(re.compile(r"gateway → orders: errors for \d+ s"))

    page.get_by_role("button", name="Send it every second").click()
    effects = page.locator(".effects")
    expect(effects).to_contain_text("The dashboard came without orders")
    circuit = page.locator("[data-upstream=orders] .circuit")
    expect(circuit).to_have_attribute("data-circuit", "open", timeout=CIRCUIT_MS)
    expect(effects).to_contain_text("The circuit of orders is open: no calls")
    page.get_by_label("Request").select_option("orders")
    expect(effects).to_contain_text(re.compile(r"GET /v2/orders: 503.*try again in \d+ s"))

    page.get_by_role("button", name="Switch off the fault of gateway → orders").click()
    expect(active).to_have_count(0)
    expect(errors).to_have_attribute("aria-pressed", "false")
    expect(circuit).to_have_attribute("data-circuit", "closed", timeout=CIRCUIT_MS)
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Request").select_option("dashboard")
    expect(effects).to_contain_text("The dashboard is complete", timeout=CIRCUIT_MS)


def test_retried_calls_are_listed(shop: Shop) -> None:
    page = shop.page
    shop.register()
    shop.open("/break")
    unlock(page)
    page.get_by_label("Affected calls").select_option("a fifth")
    switch(page, "errors for calls gateway → orders").click()
    expect(page.locator(".active-faults > li")).to_contain_text("errors in 20 % of the calls")
    page.get_by_label("Request").select_option("orders")
    page.get_by_role("button", name="Send it every second").click()
    expect(page.locator(".effects")).to_contain_text(
        re.compile(r"GET /v2/orders: 200 after retries: orders \("), timeout=CIRCUIT_MS
    )
    page.get_by_role("button", name="Switch off the fault of gateway → orders").click()
    expect(page.locator(".active-faults > li")).to_have_count(0)


def test_admin_login_is_not_stored(shop: Shop) -> None:
    page = shop.page
    shop.open("/break")
    unlock(page, "wrong")
    expect(page.get_by_role("main").get_by_role("alert")).to_be_visible()
    unlock(page)
    expect(page.get_by_role("table").first).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "eyJ" not in stored, "a token is stored"
    page.reload()
    expect(page.get_by_label("Password of the admin")).to_be_visible()


def test_killed_notifications_lose_and_repeat_nothing(shop: Shop, stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("kills a process, so it needs a stack that the tests started")
    page = shop.page
    shop.register()
    shop.place_order(SKU)
    stack.operator.kill("notifications")
    shop.expect_shipped()
    for name in ("push", "packed", "shipped"):
        expect(page.locator(f"[data-hop={name}]")).to_have_attribute("data-state", "lit", timeout=CIRCUIT_MS)
    expect(shop.connection).to_have_attribute("data-phase", "open", timeout=CIRCUIT_MS)

    shop.open("/notifications")
    expect(shop.notifications.first).to_contain_text("shipped")
    numbers = [int(item.get_attribute("data-seq") or 0) for item in shop.notifications.all()]
    assert numbers == [4, 3, 2, 1]
    shop.open("/break")
    expect(page.locator("[data-resumed]")).to_contain_text("Resumed without gap", timeout=CIRCUIT_MS)
    # Until here the page may not have noticed the end of its socket. Now it has, so an open one is a new one.
    expect(shop.connection).to_have_attribute("data-phase", "open", timeout=CIRCUIT_MS)
