"""The panel "The last action, hop by hop" shows the hops that a response or a trace of the user proves."""

import re

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect
from tests.e2e.browser.conftest import NewDevice, OpenShop, api_client

from testkit.apps import TLS
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


def find_hop(page: Page, name: str) -> Locator:
    return page.locator(f"[data-hop='{name}']")


def list_hops(page: Page) -> list[str | None]:
    """Return the names of the shown hops, in their order."""
    return [hop.get_attribute("data-hop") for hop in page.locator("ol.hop-list > li").all()]


def read_trace_id(page: Page) -> str:
    """Return the trace id of the shown action, from its link."""
    address = page.locator(".hops-links").get_by_role("link", name="Trace").get_attribute("href")
    assert address
    return address.rsplit("/", 1)[1]


def read_trace(stack: Stack, account: Account, trace_id: str) -> httpx.Response:
    """Return the response of the gateway to a request of `account` for a trace."""
    with api_client(stack, account) as client:
        return client.get(f"/browser/traces/{trace_id}")


def test_panel_shows_every_hop_of_an_order_and_then_its_trace(shop: Shop) -> None:
    shop.register()
    shop.place_order(SKU)
    page = shop.page
    expect(page.get_by_label("Action", exact=True)).to_have_value(re.compile(".+"))
    expect(page.locator(".hop")).to_have_count(len(HOPS))
    for name in HOPS:
        expect(find_hop(page, name)).to_have_attribute("data-state", "reached", timeout=JOURNEY_MS)
        expect(find_hop(page, name)).to_contain_text(re.compile(r"\+[\d.]+ m?s"))
    assert list_hops(page) == HOPS
    expect(find_hop(page, "shipped")).to_contain_text("by the notification")

    rows = page.locator(".waterfall-row")
    expect(rows.first).to_contain_text("browser place order", timeout=JOURNEY_MS)
    expect(rows.filter(has_text="browser receive notification")).to_have_count(3)
    status = page.locator(".hops > [role=status]")
    expect(status).to_have_text("place order: 11 of 11 hops reached. Nothing more is expected.")


def test_panel_shows_every_hop_of_a_registration(shop: Shop) -> None:
    shop.register()
    page = shop.page
    names = ["browser", "gateway", "upstream-0", "outbox", "notifications-consumer", "workers-consumer", "job", "email"]
    for name in names:
        expect(find_hop(page, name)).to_have_attribute("data-state", "reached", timeout=JOURNEY_MS)
    assert list_hops(page) == names
    expect(page.locator(".waterfall-row").first).to_contain_text("browser register", timeout=JOURNEY_MS)


def test_trace_can_be_read_by_keyboard(shop: Shop) -> None:
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


def test_panel_shows_the_problem_and_no_later_hop_when_an_order_is_rejected(
    device: BrowserContext, open_shop: OpenShop
) -> None:
    shop = open_shop(device)
    shop.register()
    shop.add_to_cart("LAMP-SIGNED")
    shop.open("/cart")
    shop.page.get_by_role("spinbutton").fill("99")
    shop.page.get_by_role("spinbutton").blur()
    shop.page.get_by_role("button", name="Place order").click()
    expect(find_hop(shop.page, "gateway")).to_have_attribute("data-state", "failed")
    expect(find_hop(shop.page, "gateway")).to_contain_text("status 409 out-of-stock", timeout=JOURNEY_MS)
    expect(find_hop(shop.page, "outbox")).to_contain_text("not reached")
    expect(find_hop(shop.page, "shipped")).to_have_attribute("data-state", "waiting")


def test_trace_is_not_found_when_another_user_requests_it(
    stack: Stack, new_device: NewDevice, open_shop: OpenShop
) -> None:
    shop = open_shop(new_device())
    owner = shop.register()
    shop.place_order(SKU)
    expect(shop.page.locator(".waterfall-row").first).to_be_visible(timeout=JOURNEY_MS)
    trace_id = read_trace_id(shop.page)
    other_user = open_shop(new_device()).register()

    assert read_trace(stack, owner, trace_id).json()["spans"]
    rejected = read_trace(stack, other_user, trace_id)
    assert rejected.status_code == 404
    assert rejected.json()["type"].endswith("/trace-not-found")
    without_token = httpx.get(f"{stack.gateway}/browser/traces/{trace_id}", timeout=TIMEOUT_S, verify=TLS)
    assert without_token.status_code == 401


def test_panel_continues_to_show_the_order_when_another_page_is_opened(shop: Shop) -> None:
    shop.register()
    shop.place_order(SKU)
    expect(find_hop(shop.page, "gateway")).to_have_attribute("data-state", "reached")
    shop.open("/orders")
    action = shop.page.get_by_label("Action", exact=True).locator("option:checked")
    expect(action).to_contain_text("place order")
    shop.page.get_by_label("Action", exact=True).select_option(index=0)
    expect(action).to_contain_text("load orders")
    expect(shop.page.locator(".hop")).to_have_count(3)
