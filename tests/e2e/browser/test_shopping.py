"""The pages of a shopper: orders, notifications, live stock, reports and the cart."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route, expect
from tests.e2e.browser.conftest import NewDevice, OpenShop

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

SKU = "MUG-ENAMEL-BLUE"
PRICE_OF_TWO = "€25.00"


def test_order_is_shown_live_from_placed_to_shipped(shop: Shop) -> None:
    shop.register()
    expect(shop.badge).to_have_text("1 unread")
    order_id = shop.place_order(SKU)
    shop.expect_shipped()
    expect(shop.badge).to_have_text("4 unread")

    shop.open("/orders")
    expect(shop.page.locator(".list-row")).to_have_count(1)
    expect(shop.page.locator(".list-row .status")).to_have_text("Shipped")

    shop.open("/notifications")
    described = [f"Order {order_id[-8:]} was {state}." for state in ("shipped", "packed", "placed")]
    expect(shop.notifications.locator("div")).to_contain_text([*described, "Welcome to Hopline."])
    shop.page.get_by_role("button", name="Mark all as read").click()
    expect(shop.badge).to_have_count(0)
    shop.page.reload()
    expect(shop.page.get_by_text("Nothing unread.")).to_be_visible()


def test_order_can_be_cancelled_before_it_is_packed(shop: Shop) -> None:
    shop.register()
    for _ in range(10):  # the worker may pack an order before it is cancelled
        shop.place_order(SKU)
        shop.page.get_by_role("button", name="Cancel this order").click()
        expect(shop.page.get_by_role("button", name="Cancel")).to_have_count(0)
        if shop.status.text_content() == "Cancelled":
            break
    expect(shop.status).to_have_text("Cancelled")
    expect(shop.page.locator(".steps")).to_have_count(0)


def test_stock_and_viewers_of_a_product_are_live(shop: Shop, new_device: NewDevice, open_shop: OpenShop) -> None:
    shop.register()
    shop.open(f"/product/{SKU}")
    expect(shop.page.get_by_text("Only you look at this now.")).to_be_visible()
    expect(shop.stock).to_contain_text("live")
    stock_before = shop.stock.inner_text()

    other = open_shop(new_device())
    other.register()
    other.open(f"/product/{SKU}")
    expect(shop.page.get_by_text("2 people look at this now.")).to_be_visible()
    other.place_order(SKU)
    expect(shop.stock).not_to_have_text(stock_before)
    expect(shop.page.get_by_text("Only you look at this now.")).to_be_visible()


def test_stock_is_polled_when_the_user_is_not_signed_in(shop: Shop, new_device: NewDevice, open_shop: OpenShop) -> None:
    shop.open(f"/product/{SKU}")
    expect(shop.stock).to_contain_text("in stock")
    stock_before = shop.stock.inner_text()
    assert "live" not in stock_before
    buyer = open_shop(new_device())
    buyer.register()
    buyer.place_order(SKU)
    expect(shop.stock).not_to_have_text(stock_before)


def test_finished_report_is_downloaded(shop: Shop, tmp_path: Path) -> None:
    shop.register()
    order_id = shop.place_order(SKU)
    shop.open("/reports")
    first_day = shop.page.get_by_label("From")
    day_before_default = f"{date.fromisoformat(first_day.input_value()) - timedelta(days=1)}"
    first_day.fill(day_before_default)
    shop.page.get_by_role("button", name="Request report").click()
    expect(shop.page.locator("[data-report]")).to_have_count(1)
    expect(first_day).to_have_value(day_before_default)
    with shop.page.expect_download() as download:
        shop.page.locator("[data-report]").get_by_role("button", name="Download").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.suffix == ".csv"
    assert order_id in file.read_text()


def test_sold_out_product_cannot_be_added(shop: Shop) -> None:
    shop.open("/product/SOCKS-HOP-XL")
    expect(shop.stock).to_have_text("Sold out")
    expect(shop.page.get_by_role("button", name="Add to cart")).to_be_disabled()


def test_cart_stays_when_an_order_is_rejected_because_it_exceeds_the_stock(
    device: BrowserContext, open_shop: OpenShop
) -> None:
    shop = open_shop(device)  # not the fixture `shop`, because Chromium logs the status 409 as an error
    shop.register()
    shop.open("/product/LAMP-SIGNED")
    shop.page.get_by_label("Quantity").fill("99")
    shop.page.get_by_role("button", name="Add to cart").click()
    shop.open("/cart")
    expect(shop.page.get_by_text("Only 3 in stock.")).to_be_visible()
    shop.page.get_by_role("button", name="Place order").click()
    expect(shop.page.get_by_role("main").get_by_role("alert")).to_contain_text("LAMP-SIGNED")
    expect(shop.page.get_by_label("Quantity of Brass desk lamp, signed edition")).to_have_value("99")


def test_typed_quantity_is_ordered_when_the_product_loads_afterwards(shop: Shop) -> None:
    shop.register()
    shop.add_to_cart(SKU)
    shop.open("/cart")
    quantity = shop.page.get_by_label("Quantity of Enamel mug, blue")
    expect(quantity).to_be_visible()  # the first load of the product has ended, so only the next load is held
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    shop.page.route(f"**/v2/products/{SKU}", hold, times=1)
    with shop.page.expect_request(f"**/v2/products/{SKU}"):
        shop.page.reload()
    shop.page.get_by_role("spinbutton").fill("2")
    held[0].continue_()
    expect(quantity).to_have_value("2")
    shop.page.get_by_role("button", name="Place order").click()
    shop.wait_for_order()
    expect(shop.page.get_by_role("row", name="Enamel mug, blue")).to_contain_text(PRICE_OF_TWO)
