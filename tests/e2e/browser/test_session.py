"""The session: a short-lived token in memory, renewed by a cookie that scripts cannot read."""

import pytest
from playwright.sync_api import BrowserContext, Request, Route, expect
from tests.e2e.browser.conftest import OpenShop

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

EXPIRED = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."


def watch_refreshes(shop: Shop) -> list[Request]:
    refreshes: list[Request] = []

    def watch(request: Request) -> None:
        if request.url.endswith("/browser/session/refresh"):
            refreshes.append(request)

    shop.page.on("request", watch)
    return refreshes


def send_rejected_token(route: Route) -> None:
    route.continue_(headers={**route.request.headers, "authorization": EXPIRED})


def test_rejected_token_is_renewed_once_and_the_user_notices_nothing(
    device: BrowserContext, open_shop: OpenShop
) -> None:
    shop = open_shop(device)
    shop.register()
    refreshes = watch_refreshes(shop)
    shop.page.route("**/v2/dashboard", send_rejected_token, times=1)
    shop.open("/dashboard")
    expect(shop.page.get_by_role("heading", name="Account")).to_be_visible()
    expect(shop.page.get_by_role("alert")).to_have_count(0)
    assert len(refreshes) == 1


def test_reload_continues_the_session_without_a_token_in_storage(shop: Shop, device: BrowserContext) -> None:
    shop.register()
    refreshes = watch_refreshes(shop)
    shop.page.reload()
    shop.expect_signed_in()
    assert len(refreshes) == 1
    stored = shop.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
    assert "eyJ" not in stored  # how each encoded token begins
    (cookie,) = [cookie for cookie in device.cookies() if cookie["name"] == "hopline_refresh"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/browser/session")


def test_tabs_that_start_together_stay_signed_in(device: BrowserContext, open_shop: OpenShop) -> None:
    first, second, third = (open_shop(device) for _ in range(3))
    first.register()
    for shop in (first, second, third):
        shop.page.goto(f"{first.page.url.split('#')[0]}#/orders", wait_until="commit")
        shop.page.evaluate("location.reload()")
    for shop in (first, second, third):
        shop.expect_signed_in()


def test_lost_cookie_leads_to_the_login_and_back(device: BrowserContext, open_shop: OpenShop) -> None:
    shop = open_shop(device)
    account = shop.register()
    device.clear_cookies()
    shop.open("/orders")
    shop.page.reload()
    shop.page.get_by_role("main").get_by_role("link", name="Sign in").click()
    shop.sign_in(account)
    expect(shop.heading).to_have_text("Orders")


def test_wrong_password_is_reported_and_can_be_corrected(device: BrowserContext, open_shop: OpenShop) -> None:
    shop = open_shop(device)
    account = shop.register()
    shop.page.get_by_role("button", name="Sign out").click()
    expect(shop.page.get_by_text("You are signed out.")).to_be_visible()
    shop.open("/login")
    shop.page.get_by_label("Email address").fill(account.email)
    shop.page.get_by_label("Password").fill("something else")
    shop.page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(shop.page.get_by_role("main").get_by_role("alert")).to_contain_text("password is wrong")
    shop.sign_in(account)
    expect(shop.heading).to_have_text("Catalog")
