"""The panel "The last action, hop by hop" shows only hops that responses and traces of the user prove."""

import re

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.e2e.browser.conftest import NewDevice, OpenShop

from testkit.shop import Account, Shop
from testkit.stack import Stack
from testkit.waiting import TIMEOUT_S

pytestmark = pytest.mark.xdist_group("stack")

SKU = "BOOK-HOPS"
HOPS = [
    "browser",
    "gateway",
    "upstream-0",
    "outbox",
    "notifications-consumer",
    "push",
    "workers-consumer",
    "job",
    "email",
    "packed",
    "shipped",
]
JOURNEY_MS = 60_000
"""Timeout of a journey. An order waits one second before each of two steps, and its trace is complete 5 s later."""


def hop(page: Page, name: str) -> Locator:
    return page.locator(f"[data-hop='{name}']")


def trace_id(page: Page) -> str:
    address = page.locator(".hops-links").get_by_role("link", name="Trace").get_attribute("href")
    assert address
    return address.rsplit("/", 1)[1]


def read_trace(stack: Stack, account: Account, trace: str) -> httpx.Response:
    with httpx.Client(base_url=stack.gateway, timeout=TIMEOUT_S) as client:
        form = {"grant_type": "password", "username": account.email, "password": account.password}
        token = client.post("/v2/tokens", data=form).raise_for_status().json()["access_token"]
        return client.get(f"/browser/traces/{trace}", headers={"Authorization": f"Bearer {token}"})


def test_order_lights_every_hop_and_then_shows_its_trace(shop: Shop) -> None:
    shop.register()
    shop.place_order(SKU)
    page = shop.page
    expect(page.get_by_label("Action", exact=True)).to_have_value(re.compile(".+"))
    expect(page.locator(".hop")).to_have_count(len(HOPS))
    for name in HOPS:
        expect(hop(page, name)).to_have_attribute("data-state", "lit", timeout=JOURNEY_MS)
        expect(hop(page, name)).to_contain_text(re.compile(r"\+[\d.]+ m?s"))
    assert [item.get_attribute("data-hop") for item in page.locator("ol.hop-list > li").all()] == HOPS
    expect(hop(page, "shipped")).to_contain_text("by the notification")

    rows = page.locator(".waterfall-row")
    expect(rows.first).to_contain_text("browser place order", timeout=JOURNEY_MS)
    expect(rows.filter(has_text="browser receive notification")).to_have_count(3)
    spoken = page.locator(".hops > [role=status]")
    expect(spoken).to_have_text("place order: 11 of 11 hops reached. Nothing more is expected.")


def test_registration_lights_every_hop(shop: Shop) -> None:
    shop.register()
    page = shop.page
    names = ["browser", "gateway", "upstream-0", "outbox", "notifications-consumer", "workers-consumer", "job", "email"]
    for name in names:
        expect(hop(page, name)).to_have_attribute("data-state", "lit", timeout=JOURNEY_MS)
    assert [item.get_attribute("data-hop") for item in page.locator("ol.hop-list > li").all()] == names
    expect(page.locator(".waterfall-row").first).to_contain_text("browser register", timeout=JOURNEY_MS)


def test_trace_is_read_by_keyboard(shop: Shop) -> None:
    shop.register()
    shop.place_order(SKU)
    page = shop.page
    rows = page.locator(".waterfall-row")
    expect(rows.first).to_be_visible(timeout=JOURNEY_MS)
    page.locator(".hops-links").get_by_role("link").last.focus()
    page.keyboard.press("Tab")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(rows.nth(2)).to_be_focused()
    expect(rows.nth(2)).to_contain_text("gateway POST /v2/orders")
    page.keyboard.press("Enter")
    expect(rows.nth(2)).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".waterfall-attributes")).to_contain_text("http.response.status_code201")
    page.keyboard.press("Tab")
    expect(rows.filter(has=page.locator(":focus"))).to_have_count(0)


def test_rejected_order_says_why_and_reaches_no_later_hop(device: BrowserContext, open_shop: OpenShop) -> None:
    shop = open_shop(device)
    shop.register()
    shop.add_to_cart("LAMP-SIGNED")
    shop.open("/cart")
    shop.page.get_by_role("spinbutton").fill("99")
    shop.page.get_by_role("spinbutton").blur()
    shop.page.get_by_role("button", name="Place order").click()
    expect(hop(shop.page, "gateway")).to_have_attribute("data-state", "failed")
    expect(hop(shop.page, "gateway")).to_contain_text("status 409 out-of-stock", timeout=JOURNEY_MS)
    expect(hop(shop.page, "outbox")).to_contain_text("not reached")
    expect(hop(shop.page, "shipped")).to_have_attribute("data-state", "waiting")


def test_trace_of_another_user_is_not_shown(stack: Stack, new_device: NewDevice, open_shop: OpenShop) -> None:
    shop = open_shop(new_device())
    owner = shop.register()
    shop.place_order(SKU)
    expect(shop.page.locator(".waterfall-row").first).to_be_visible(timeout=JOURNEY_MS)
    trace = trace_id(shop.page)
    other = open_shop(new_device()).register()

    assert read_trace(stack, owner, trace).json()["spans"]
    rejected = read_trace(stack, other, trace)
    assert rejected.status_code == 404
    assert rejected.json()["type"].endswith("/trace-not-found")
    with httpx.Client(base_url=stack.gateway, timeout=TIMEOUT_S) as client:
        assert client.get(f"/browser/traces/{trace}").status_code == 401


def test_order_stays_shown_while_other_pages_load(shop: Shop) -> None:
    shop.register()
    shop.place_order(SKU)
    expect(hop(shop.page, "gateway")).to_have_attribute("data-state", "lit")
    shop.open("/orders")
    action = shop.page.get_by_label("Action", exact=True).locator("option:checked")
    expect(action).to_contain_text("place order")
    shop.page.get_by_label("Action", exact=True).select_option(index=0)
    expect(action).to_contain_text("load orders")
    expect(shop.page.locator(".hop")).to_have_count(3)
