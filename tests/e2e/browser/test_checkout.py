"""One checkout places one order: after a double click, a reload, and a lost response."""

import pytest
from playwright.sync_api import BrowserContext, Request, Route, expect
from tests.e2e.browser.conftest import OpenShop, OrderIdsOf

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

SKU = "BOOK-HOPS"
ORDERS = "**/v2/orders"


def watch_keys(shop: Shop) -> list[str]:
    """Collect the idempotency keys of the requests that place orders."""
    keys: list[str] = []

    def watch(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/v2/orders"):
            keys.append(request.headers["idempotency-key"])

    shop.page.on("request", watch)
    return keys


def open_cart(shop: Shop) -> None:
    shop.add_to_cart(SKU)
    shop.open("/cart")


def test_double_click_places_one_order(shop: Shop, order_ids_of: OrderIdsOf) -> None:
    account = shop.register()
    keys = watch_keys(shop)
    open_cart(shop)
    shop.page.get_by_role("button", name="Place order").dblclick()
    order_id = shop.placed_order_id()
    assert order_ids_of(account) == [order_id]
    assert len(keys) == 1
    shop.open("/cart")
    expect(shop.page.get_by_text("Your cart is empty.")).to_be_visible()


def test_reload_while_the_order_is_placed_completes_the_same_order(
    device: BrowserContext, open_shop: OpenShop, order_ids_of: OrderIdsOf
) -> None:
    shop = open_shop(device)
    account = shop.register()
    keys = watch_keys(shop)
    open_cart(shop)

    def place_but_hold_the_response(route: Route) -> None:
        route.fetch()

    shop.page.route(ORDERS, place_but_hold_the_response, times=1)
    with shop.page.expect_request(ORDERS):
        shop.page.get_by_role("button", name="Place order").click()
    expect(shop.page.get_by_role("button", name="Placing the order…")).to_be_visible()
    shop.page.reload()
    order_id = shop.placed_order_id()
    assert order_ids_of(account) == [order_id]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_lost_response_is_repeated_with_the_same_key(
    device: BrowserContext, open_shop: OpenShop, order_ids_of: OrderIdsOf
) -> None:
    shop = open_shop(device)
    account = shop.register()
    keys = watch_keys(shop)
    open_cart(shop)

    def place_and_lose_the_response(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    shop.page.route(ORDERS, place_and_lose_the_response, times=1)
    shop.page.get_by_role("button", name="Place order").click()
    expect(shop.page.get_by_role("main").get_by_role("alert")).to_contain_text("cannot be reached")
    shop.page.get_by_role("button", name="Try again").click()
    order_id = shop.placed_order_id()
    assert order_ids_of(account) == [order_id]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_two_tabs_with_the_same_cart_place_one_order(
    device: BrowserContext, open_shop: OpenShop, order_ids_of: OrderIdsOf
) -> None:
    first, second = open_shop(device), open_shop(device)
    account = first.register()
    open_cart(first)
    second.open("/cart")
    second.expect_signed_in()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    first.page.route(ORDERS, hold, times=1)
    with first.page.expect_request(ORDERS):
        first.page.get_by_role("button", name="Place order").click()
    second.page.get_by_role("button", name="Place order").click()
    expect(second.page.get_by_role("button", name="Placing the order…")).to_be_visible()
    held[0].continue_()
    order_id = first.placed_order_id()
    second.page.wait_for_url("**/#/orders")
    assert order_ids_of(account) == [order_id]
