"""The session: a short-lived token in memory, renewed by a cookie that scripts cannot read."""

import pytest
from playwright.sync_api import BrowserContext, Request, Route, expect
from tests.e2e.browser.conftest import OpenShop

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

TOKEN_PREFIX = "eyJ"
"""The first characters of every JWT: its header begins with `{"` and a letter, and is encoded in base64."""
UNSIGNED_TOKEN = f"{TOKEN_PREFIX}hbGciOiJub25lIn0.eyJzdWIiOiIxIn0."
"""A JWT with the algorithm `none`, which the services reject."""


def record_refreshes(shop: Shop) -> list[Request]:
    """Return a list to which each further request for a new token is appended."""
    refreshes: list[Request] = []

    def record_refresh(request: Request) -> None:
        if request.url.endswith("/browser/session/refresh"):
            refreshes.append(request)

    shop.page.on("request", record_refresh)
    return refreshes


def send_unsigned_token(route: Route) -> None:
    route.continue_(headers={**route.request.headers, "authorization": f"Bearer {UNSIGNED_TOKEN}"})


def test_token_is_renewed_once_without_an_error_message_when_a_service_rejects_it(
    device: BrowserContext, open_shop: OpenShop
) -> None:
    shop = open_shop(device)
    shop.register()
    refreshes = record_refreshes(shop)
    shop.page.route("**/v2/dashboard", send_unsigned_token, times=1)
    shop.open("/dashboard")
    expect(shop.page.get_by_role("heading", name="Account")).to_be_visible()
    expect(shop.page.get_by_role("alert")).to_have_count(0)
    assert len(refreshes) == 1


def test_reload_continues_the_session_without_a_token_in_storage(shop: Shop, device: BrowserContext) -> None:
    shop.register()
    refreshes = record_refreshes(shop)
    shop.page.reload()
    shop.expect_signed_in()
    assert len(refreshes) == 1
    stored = shop.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
    assert TOKEN_PREFIX not in stored, "a token is stored"
    (cookie,) = [cookie for cookie in device.cookies() if cookie["name"] == "hopline_refresh"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/browser/session")


def test_tabs_stay_signed_in_when_they_reload_at_the_same_time(device: BrowserContext, open_shop: OpenShop) -> None:
    first, second, third = (open_shop(device) for _ in range(3))
    first.register()
    for shop in (first, second, third):
        shop.page.goto(f"{first.page.url.split('#')[0]}#/orders", wait_until="commit")
        shop.page.evaluate("location.reload()")
    for shop in (first, second, third):
        shop.expect_signed_in()


def test_user_returns_to_the_page_after_the_login_when_the_cookie_was_lost(
    device: BrowserContext, open_shop: OpenShop
) -> None:
    shop = open_shop(device)
    account = shop.register()
    device.clear_cookies()
    shop.open("/orders")
    shop.page.reload()
    shop.page.get_by_role("main").get_by_role("link", name="Sign in").click()
    shop.sign_in(account)
    expect(shop.heading).to_have_text("Orders")


def test_login_shows_an_error_and_can_be_repeated_when_the_password_is_wrong(
    device: BrowserContext, open_shop: OpenShop
) -> None:
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
