"""The page while a service fails: it shows the remaining data, and recovers without a reload."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, expect
from tests.e2e.browser.conftest import OpenShop

from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

ATTEMPTS = 30

Inject = Callable[[str, str], None]


@pytest.fixture
def inject(stack: Stack) -> Iterator[Inject]:
    """`inject(target, kind)`: inject a fault into calls of the gateway, until the end of the test."""
    targets: set[str] = set()

    def create(target: str, kind: str) -> None:
        targets.add(target)
        all_calls = () if kind == "none" else ("--value", "100")
        done = stack.run("console", "fault", "--target", target, "--kind", kind, *all_calls)
        assert done.returncode == 0, done.stdout + done.stderr

    yield create
    for target in targets:
        create(target, "none")


def load_until(element: Locator, load: Callable[[], object]) -> None:
    """Load the page until the element is visible, because faults start and circuits close with a delay."""
    for _ in range(ATTEMPTS):
        load()
        try:
            expect(element).to_be_visible(timeout=1_000)
        except AssertionError:
            continue
        return
    expect(element).to_be_visible()


def test_dashboard_marks_the_part_that_is_missing(device: BrowserContext, open_shop: OpenShop, inject: Inject) -> None:
    shop = open_shop(device)
    shop.register()
    inject("notifications", "errors")
    shop.open("/dashboard")
    main = shop.page.get_by_role("main")
    load_again = shop.page.get_by_role("button", name="Load again").click
    load_until(main.get_by_text("Not available now: notifications"), load_again)
    expect(main.locator("[data-degraded=true]")).to_contain_text("Not available now.")
    expect(main.get_by_text("No orders yet.")).to_be_visible()
    inject("notifications", "none")
    load_until(main.get_by_text("1 unread"), load_again)
    expect(main.locator("[data-degraded=true]")).to_have_count(0)


def test_catalog_counts_down_and_loads_when_the_service_responds_again(
    device: BrowserContext, open_shop: OpenShop, inject: Inject
) -> None:
    shop = open_shop(device)
    inject("orders", "errors")
    shop.open("/")
    banner = shop.page.get_by_role("status").filter(has_text="The shop is busy.")
    load_until(banner, shop.page.reload)
    expect(banner).to_contain_text(re.compile(r"Next attempt in \d+ s"))
    inject("orders", "none")
    products = shop.page.locator(".card")
    retry = shop.page.get_by_role("button", name="Try again")
    expect(products.or_(retry).first).to_be_visible()
    if retry.count():  # the attempts ended before the circuit closed
        retry.click(timeout=60_000)
    expect(products).to_have_count(30)
    expect(banner).to_have_count(0)
