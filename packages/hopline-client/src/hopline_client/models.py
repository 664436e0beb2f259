"""Types of the JSON bodies that the API returns. Times are RFC 3339 text, money is in cents."""

from typing import Any, Generic, Literal, TypedDict, TypeVar

T = TypeVar("T")


class Page(TypedDict, Generic[T]):
    """One page of a list. `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


class Items(TypedDict, Generic[T]):
    """A complete list."""

    items: list[T]


class User(TypedDict):
    """An account."""

    id: str
    email: str
    name: str
    role: Literal["customer", "admin"]
    created_at: str


class Tokens(TypedDict):
    """An access token, valid for `expires_in` seconds, and the token that renews it once."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


class Product(TypedDict):
    """A product; `available` units can be ordered."""

    sku: str
    name: str
    unit_price_cents: int
    currency: str
    available: int


class OrderItem(TypedDict):
    """One product in an order, with the price at the time of the order."""

    sku: str
    name: str
    quantity: int
    unit_price_cents: int


class Order(TypedDict):
    """An order."""

    id: str
    user_id: str
    status: Literal["placed", "packed", "shipped", "cancelled"]
    items: list[OrderItem]
    total_cents: int
    currency: str
    created_at: str


class Notification(TypedDict):
    """A notification as the history has it."""

    seq: int
    id: str
    kind: str
    data: dict[str, Any]
    created_at: str


class FeedState(TypedDict):
    """The seq of the latest notification of a feed, and the seq up to which the user has read it."""

    head: int
    read_seq: int


class NotificationPage(FeedState):
    """Notifications in ascending order of `seq`."""

    items: list[Notification]


class NotificationDigest(TypedDict):
    """Number of unread notifications, and the latest ones."""

    unread: int
    latest: list[Notification]


class Dashboard(TypedDict):
    """Parts that could not be read are None; `degraded` names them."""

    user: User | None
    recent_orders: list[Order] | None
    notifications: NotificationDigest | None
    degraded: list[str]


class OrderSummary(TypedDict):
    """An order with its user and its notifications."""

    order: Order
    user: User
    notifications: list[Notification]


class Report(TypedDict):
    """A report; `progress` is in percent, and `download_url` is set once it is done."""

    id: str
    status: Literal["queued", "running", "done", "failed"]
    progress: int
    download_url: str | None
    size_bytes: int | None
    error: str | None


class Ticket(TypedDict):
    """A code that authenticates one WebSocket at `url`, valid for `expires_in` seconds."""

    ticket: str
    expires_in: int
    url: str


class Fault(TypedDict):
    """A fault between two services. `value` is in milliseconds (slow) or in percent of the calls."""

    source: str
    target: str
    kind: Literal["slow", "errors", "hang", "disconnect", "crash"]
    value: int
    times: int | None
    at: str | None
    until: str
