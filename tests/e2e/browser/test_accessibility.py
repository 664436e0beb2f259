"""Every page in both themes: no serious finding of axe, usable at 320 px, by keyboard and with a screen reader."""

import os
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

AXE = Path(__file__).parents[3] / "services/gateway/web/node_modules/axe-core/axe.min.js"
SKU = "OPENER-IRON"
# The headings by address. A check waits for the heading, because the previous page is shown until then.
SHOP_PAGES = {"/": "Catalog", f"/product/{SKU}": "Forged bottle opener", "/cart": "Cart"}
PAGES = {**SHOP_PAGES, "/login": "Sign in", "/register": "Register", "/nowhere": "Page not found"}
ACCOUNT_PAGES = {
    **SHOP_PAGES,
    "/orders": "Orders",
    "/notifications": "Notifications",
    "/reports": "Reports",
    "/dashboard": "Dashboard",
    "/break": "Break it",
}


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        reason = "no axe-core: npm ci --prefix services/gateway/web"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    return AXE.read_text()


@pytest.fixture(params=["light", "dark"])
def themed(shop: Shop, request: pytest.FixtureRequest) -> Shop:
    theme: Literal["light", "dark"] = request.param
    shop.page.emulate_media(color_scheme=theme)
    return shop


def serious_findings(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def check(shop: Shop, axe: str) -> None:
    expect(shop.page.get_by_text("Loading…")).to_have_count(0)
    path = shop.page.url
    assert serious_findings(shop.page, axe) == [], path
    size = shop.page.viewport_size
    assert size
    shop.page.set_viewport_size({"width": 320, "height": 640})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert shop.page.evaluate(overflow) <= 0, f"{path} scrolls sideways at 320 px"
    assert serious_findings(shop.page, axe) == [], f"{path} at 320 px"
    shop.page.set_viewport_size(size)


def test_pages_without_an_account_have_no_serious_findings(themed: Shop, axe: str) -> None:
    themed.open("/")
    themed.add_to_cart(SKU)
    for path, heading in PAGES.items():
        themed.open(path)
        expect(themed.heading).to_have_text(heading)
        check(themed, axe)


def test_pages_of_an_account_have_no_serious_findings(themed: Shop, axe: str) -> None:
    themed.register()
    themed.place_order(SKU)
    check(themed, axe)
    themed.expect_shipped()
    themed.open("/reports")
    themed.page.get_by_role("button", name="Request report").click()
    expect(themed.page.locator("[data-report]")).to_have_count(1)
    themed.add_to_cart(SKU)
    for path, heading in ACCOUNT_PAGES.items():
        themed.open(path)
        expect(themed.heading).to_have_text(heading)
        check(themed, axe)


def test_targets_are_large_enough(shop: Shop) -> None:
    shop.open("/")
    expect(shop.page.get_by_role("button", name="Add to cart").first).to_be_visible()
    for control in shop.page.locator("button:visible, header a:visible, .card a:visible").all():
        box = control.bounding_box()
        assert box
        assert box["height"] >= 44, control.inner_text()


def test_keyboard_skips_the_navigation_and_focus_follows_the_pages(shop: Shop) -> None:
    shop.open("/")
    shop.page.keyboard.press("Tab")
    skip = shop.page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    shop.page.keyboard.press("Enter")
    expect(shop.page.get_by_role("main")).to_be_focused()
    shop.page.get_by_role("link", name="Forged bottle opener").press("Enter")
    expect(shop.heading).to_have_text("Forged bottle opener")
    expect(shop.heading).to_be_focused()
    expect(shop.page).to_have_title("Forged bottle opener · Hopline")


def test_messages_are_spoken(shop: Shop) -> None:
    shop.add_to_cart(SKU)
    expect(shop.page.get_by_role("status").filter(has_text="Forged bottle opener is in the cart.")).to_be_visible()


def test_selected_theme_stays_after_a_reload(shop: Shop) -> None:
    shop.page.emulate_media(color_scheme="light")
    shop.open("/")
    root = shop.page.locator("html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = shop.page.evaluate(background)
    shop.page.get_by_role("button", name="Theme: Auto").click()
    expect(root).to_have_attribute("data-theme", "dark")
    dark = shop.page.evaluate(background)
    assert dark != light
    shop.page.reload()
    expect(root).to_have_attribute("data-theme", "dark")
    assert shop.page.evaluate(background) == dark
    shop.page.get_by_role("button", name="Theme: Dark").click()
    shop.page.get_by_role("button", name="Theme: Light").click()
    expect(shop.page.get_by_role("button", name="Theme: Auto")).to_be_visible()
    assert root.get_attribute("data-theme") is None
