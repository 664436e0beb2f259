"""Tabs and devices of one account show the same state, and the tabs of a browser share one WebSocket."""

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocket, expect
from tests.e2e.browser.conftest import NewDevice, OpenShop

pytestmark = pytest.mark.xdist_group("stack")

SKU = "MUG-ENAMEL-WHITE"


SEQS_AFTER_ORDER = [4, 3, 2, 1]
"""`seq` of the notifications of a new account with one shipped order: welcome, placed, packed, shipped."""


def record_sockets(page: Page) -> list[WebSocket]:
    """Return a list to which each further WebSocket of the page is appended."""
    opened: list[WebSocket] = []

    def record_socket(socket: WebSocket) -> None:
        opened.append(socket)

    page.on("websocket", record_socket)
    return opened


def test_tabs_share_session_cart_socket_and_badge(device: BrowserContext, open_shop: OpenShop) -> None:
    first, second = open_shop(device), open_shop(device)
    sockets = [record_sockets(shop.page) for shop in (first, second)]
    second.open("/orders")
    first.register()
    second.expect_signed_in()

    first.add_to_cart(SKU)
    cart = second.page.get_by_role("navigation", name="Main").get_by_role("link", name="Cart")
    expect(cart).to_have_text("Cart1 in the cart")

    order_id = first.place_order(SKU)
    expect(second.page.locator(f".list-row a[href='#/orders/{order_id}']")).to_be_visible()
    expect(second.page.locator(".list-row .status")).to_have_text("Shipped")
    expect(second.badge).to_have_text("4 unread")
    expect(first.badge).to_have_text("4 unread")
    assert sum(map(len, sockets)) == 1

    first.open("/notifications")
    first.page.get_by_role("button", name="Mark all as read").click()
    expect(second.badge).to_have_count(0)
    first.page.get_by_role("button", name="Sign out").click()
    expect(second.page.get_by_role("banner").get_by_role("link", name="Sign in")).to_be_visible()


def test_another_tab_opens_a_socket_when_the_tab_with_the_socket_is_closed(
    device: BrowserContext, open_shop: OpenShop
) -> None:
    first, second = open_shop(device), open_shop(device)
    first.register()
    second.open("/notifications")
    second.expect_signed_in()
    expect(second.notifications).to_have_count(1)
    sockets = record_sockets(second.page)
    first.page.close()
    second.expect_signed_in()
    second.place_order(SKU)
    second.expect_shipped()
    second.open("/notifications")
    expect(second.notifications).to_have_count(len(SEQS_AFTER_ORDER))
    assert second.notification_seqs() == SEQS_AFTER_ORDER
    assert len(sockets) == 1


def test_devices_show_the_same_notifications_and_read_mark(new_device: NewDevice, open_shop: OpenShop) -> None:
    phone, laptop = open_shop(new_device()), open_shop(new_device())
    account = phone.register()
    laptop.open("/login?next=/notifications")
    laptop.sign_in(account)
    expect(laptop.badge).to_have_text("1 unread")
    phone.place_order(SKU)
    phone.expect_shipped()
    expect(laptop.notifications).to_have_count(4)
    expect(laptop.badge).to_have_text("4 unread")
    expect(phone.badge).to_have_text("4 unread")
    laptop.page.get_by_role("button", name="Mark all as read").click()
    expect(phone.badge).to_have_count(0)
    expect(laptop.badge).to_have_count(0)


def test_device_receives_the_missed_notifications_when_it_is_online_again(
    new_device: NewDevice, open_shop: OpenShop
) -> None:
    phone_device = new_device()
    phone, laptop = open_shop(phone_device), open_shop(new_device())
    account = phone.register()
    phone.open("/notifications")
    laptop.open("/login")
    laptop.sign_in(account)
    phone_device.set_offline(offline=True)
    expect(phone.connection).to_have_attribute("data-phase", "waiting")
    laptop.place_order(SKU)
    laptop.expect_shipped()
    expect(phone.notifications).to_have_count(1)
    phone_device.set_offline(offline=False)
    expect(phone.connection).to_have_attribute("data-phase", "open")
    expect(phone.notifications).to_have_count(len(SEQS_AFTER_ORDER))
    assert phone.notification_seqs() == SEQS_AFTER_ORDER
