"""One checkout places one order, also after a double click, a reload or a lost response, and in two tabs."""

import pytest
from playwright.sync_api import BrowserContext, Request, Route, expect
from tests.e2e.browser.conftest import ListOrderIds, OpenShop

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

SKU = "BOOK-HOPS"
ORDERS = "**/v2/orders"


def record_keys(shop: Shop) -> list[str]:
    """Return a list to which the idempotency key of each further order request is appended."""
    keys: list[str] = []

    def record_key(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/v2/orders"):
            keys.append(request.headers["idempotency-key"])

    shop.page.on("request", record_key)
    return keys


def open_cart(shop: Shop) -> None:
    shop.add_to_cart(SKU)
    shop.open("/cart")


def test_one_order_is_placed_when_the_button_is_double_clicked(shop: Shop, list_order_ids: ListOrderIds) -> None:
    account = shop.register()
    keys = record_keys(shop)
    open_cart(shop)
    shop.page.get_by_role("button", name="Place order").dblclick()
    order_id = shop.wait_for_order()
    assert list_order_ids(account) == [order_id]
    assert len(keys) == 1
    shop.open("/cart")
    expect(shop.page.get_by_text("Your cart is empty.")).to_be_visible()


def test_order_is_completed_with_the_same_key_when_the_page_is_reloaded_before_the_response(
    device: BrowserContext, open_shop: OpenShop, list_order_ids: ListOrderIds
) -> None:
    shop = open_shop(device)
    account = shop.register()
    keys = record_keys(shop)
    open_cart(shop)

    def place_without_a_response(route: Route) -> None:
        route.fetch()

    shop.page.route(ORDERS, place_without_a_response, times=1)
    with shop.page.expect_request(ORDERS):
        shop.page.get_by_role("button", name="Place order").click()
    expect(shop.page.get_by_role("button", name="Placing the order…")).to_be_visible()
    shop.page.reload()
    order_id = shop.wait_for_order()
    assert list_order_ids(account) == [order_id]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_request_is_repeated_with_the_same_key_when_its_response_was_lost(
    device: BrowserContext, open_shop: OpenShop, list_order_ids: ListOrderIds
) -> None:
    shop = open_shop(device)
    account = shop.register()
    keys = record_keys(shop)
    open_cart(shop)

    def place_and_lose_the_response(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    shop.page.route(ORDERS, place_and_lose_the_response, times=1)
    shop.page.get_by_role("button", name="Place order").click()
    expect(shop.page.get_by_role("main").get_by_role("alert")).to_contain_text("cannot be reached")
    shop.page.get_by_role("button", name="Try again").click()
    order_id = shop.wait_for_order()
    assert list_order_ids(account) == [order_id]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_one_order_is_placed_when_two_tabs_check_out_the_same_cart(
    device: BrowserContext, open_shop: OpenShop, list_order_ids: ListOrderIds
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
    order_id = first.wait_for_order()
    second.page.wait_for_url("**/#/orders")
    assert list_order_ids(account) == [order_id]
