"""Page object of the browser application (Playwright)."""

from dataclasses import dataclass
from uuid import uuid4

from playwright.sync_api import Locator, Page, expect

PASSWORD = "correct horse battery staple"
_SHIPPED_TIMEOUT_MS = 60_000
"""With the default settings, packing and shipping wait two seconds each. A busy machine is slower."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account that was registered in the browser application."""

    email: str
    password: str = PASSWORD


class Shop:
    """One page of the browser application."""

    def __init__(self, *, page: Page, url: str) -> None:
        self.page = page
        self._url = url

    def open(self, path: str = "/") -> None:
        """Open a page of the application and wait for its heading."""
        self.page.goto(f"{self._url}/#{path}")
        expect(self.heading).to_be_visible()

    @property
    def heading(self) -> Locator:
        """The heading of the current page."""
        return self.page.get_by_role("heading", level=1)

    @property
    def connection(self) -> Locator:
        """The state of the WebSocket in the header."""
        return self.page.locator(".connection")

    @property
    def status(self) -> Locator:
        """The status of the order on its page."""
        return self.page.locator("main .status")

    @property
    def stock(self) -> Locator:
        """The stock of the product on its page."""
        return self.page.locator("main .stock")

    @property
    def badge(self) -> Locator:
        """The number of unread notifications; absent if all are read."""
        return self.page.get_by_role("navigation", name="Main").locator("a[href='#/notifications'] .badge")

    @property
    def notifications(self) -> Locator:
        """The listed notifications, newest first."""
        return self.page.locator("main [data-seq]")

    def notification_seqs(self) -> list[int]:
        """Return the `seq` of each listed notification, newest first."""
        return [int(item.get_attribute("data-seq") or 0) for item in self.notifications.all()]

    def register(self) -> Account:
        """Register a new account, and wait until its WebSocket is open."""
        account = Account(email=f"shopper-{uuid4().hex[:12]}@example.com")
        self.open("/register")
        self.page.get_by_label("Name").fill("Ada Shopper")
        self.page.get_by_label("Email address").fill(account.email)
        self.page.get_by_label("Password").fill(account.password)
        self.page.get_by_role("button", name="Register").click()
        self.expect_signed_in()
        return account

    def sign_in(self, account: Account) -> None:
        """Sign in on the current login page, and wait until the WebSocket is open."""
        self.page.get_by_label("Email address").fill(account.email)
        self.page.get_by_label("Password").fill(account.password)
        self.page.get_by_role("main").get_by_role("button", name="Sign in").click()
        self.expect_signed_in()

    def expect_signed_in(self) -> None:
        """Wait until the header shows the account, and the WebSocket is open."""
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()
        expect(self.connection).to_have_attribute("data-phase", "open")

    def add_to_cart(self, sku: str) -> None:
        """Put one unit of a product into the cart."""
        self.open(f"/product/{sku}")
        self.page.get_by_role("button", name="Add to cart").click()

    def place_order(self, sku: str) -> str:
        """Order one unit, wait for the page of the order, and return the id of the order."""
        self.add_to_cart(sku)
        self.open("/cart")
        self.page.get_by_role("button", name="Place order").click()
        return self.wait_for_order()

    def wait_for_order(self) -> str:
        """Wait for the page of an order, and return the id of the order."""
        self.page.wait_for_url("**/#/orders/*")
        expect(self.status).to_be_visible()
        return self.page.url.rsplit("/", 1)[1]

    def expect_shipped(self) -> None:
        """Wait until the page of the order shows that it was shipped."""
        expect(self.status).to_have_text("Shipped", timeout=_SHIPPED_TIMEOUT_MS)
