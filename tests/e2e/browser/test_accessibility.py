"""Accessibility: axe reports no serious finding, and the pages work at 320 px, by keyboard and with a screen reader."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from testkit.shop import Shop

pytestmark = pytest.mark.xdist_group("stack")

AXE = Path(__file__).parents[3] / "services/gateway/web/node_modules/axe-core/axe.min.js"
SKU = "OPENER-IRON"
MIN_CONTROL_HEIGHT_PX = 44
"""WCAG 2.2 §2.5.5."""
NARROW_WIDTH_PX = 320
"""At this width, pages must not scroll horizontally (WCAG 2.2 §1.4.10)."""

# Headings by address. A test waits for the heading, because the previous page is shown until the new page has loaded.
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
    """Return the source of axe-core. Skip the tests if it is not installed, or fail in CI."""
    if not AXE.is_file():
        reason = "axe-core is not installed: run npm ci --prefix services/gateway/web"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    return AXE.read_text()


def find_serious_violations(page: Page, axe: str, *, only: Sequence[str] | None = None) -> list[str]:
    """Run the rules of axe, or `only` some, on the current page."""
    if page.evaluate("window.axe === undefined"):
        page.evaluate(axe)
    options = {"resultTypes": ["violations"]} | ({"runOnly": only} if only else {})
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def assert_accessible(shop: Shop, axe: str) -> None:
    """Check the current page at its width in both themes, which differ in colours only, and at the narrow width."""
    expect(shop.page.get_by_text("Loading…")).to_have_count(0)
    path = shop.page.url
    assert find_serious_violations(shop.page, axe) == [], path
    shop.page.emulate_media(color_scheme="dark")
    assert find_serious_violations(shop.page, axe, only=["color-contrast"]) == [], f"{path} in the dark theme"
    shop.page.emulate_media(color_scheme="light")
    size = shop.page.viewport_size
    assert size
    shop.page.set_viewport_size({"width": NARROW_WIDTH_PX, "height": 640})
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert shop.page.evaluate(overflow) <= 0, f"{path} scrolls horizontally at {NARROW_WIDTH_PX} px"
    assert find_serious_violations(shop.page, axe) == [], f"{path} at {NARROW_WIDTH_PX} px"
    shop.page.set_viewport_size(size)


def test_pages_without_an_account_are_accessible(shop: Shop, axe: str) -> None:
    shop.open("/")
    shop.add_to_cart(SKU)
    for path, heading in PAGES.items():
        shop.open(path)
        expect(shop.heading).to_have_text(heading)
        assert_accessible(shop, axe)


def test_pages_of_an_account_are_accessible(shop: Shop, axe: str) -> None:
    shop.register()
    shop.place_order(SKU)
    assert_accessible(shop, axe)
    shop.expect_shipped()
    shop.open("/reports")
    shop.page.get_by_role("button", name="Request report").click()
    expect(shop.page.locator("[data-report]")).to_have_count(1)
    shop.add_to_cart(SKU)
    for path, heading in ACCOUNT_PAGES.items():
        shop.open(path)
        expect(shop.heading).to_have_text(heading)
        assert_accessible(shop, axe)


def test_controls_have_the_minimum_height(shop: Shop) -> None:
    shop.open("/")
    expect(shop.page.get_by_role("button", name="Add to cart").first).to_be_visible()
    for control in shop.page.locator("button:visible, header a:visible, .card a:visible").all():
        box = control.bounding_box()
        assert box
        assert box["height"] >= MIN_CONTROL_HEIGHT_PX, control.inner_text()


def test_keyboard_can_skip_the_navigation_and_focus_moves_to_the_heading_of_a_new_page(shop: Shop) -> None:
    shop.open("/")
    shop.page.keyboard.press("Tab")
    skip_link = shop.page.get_by_role("link", name="Skip to content")
    expect(skip_link).to_be_focused()
    expect(skip_link).to_be_in_viewport()
    shop.page.keyboard.press("Enter")
    expect(shop.page.get_by_role("main")).to_be_focused()
    shop.page.get_by_role("link", name="Forged bottle opener").press("Enter")
    expect(shop.heading).to_have_text("Forged bottle opener")
    expect(shop.heading).to_be_focused()
    expect(shop.page).to_have_title("Forged bottle opener · Hopline")


def test_message_is_announced_by_screen_readers(shop: Shop) -> None:
    shop.add_to_cart(SKU)
    expect(shop.page.get_by_role("status").filter(has_text="Forged bottle opener is in the cart.")).to_be_visible()


def test_selected_theme_stays_when_the_page_is_reloaded(shop: Shop) -> None:
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
