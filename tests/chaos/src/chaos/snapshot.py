"""What the stack really holds: the other side of the comparison, rows as they are in stores. Ids are text."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Account:
    """A row of `account` that was not there when the run began."""

    id: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """A row of `customer_order`, with its items: SKU and quantity."""

    id: str
    user_id: str
    status: str
    items: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Key:
    """A row of `idempotency_key`."""

    user_id: str
    key: str
    order_id: str


@dataclass(frozen=True, kw_only=True)
class Product:
    """A row of `product`; `arrived` is how many units there were when the run began, shipped ones included."""

    sku: str
    stock: int
    reserved: int
    shipped: int
    arrived: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """A row of an outbox; `seq` is its number in the stream, None until it is sealed. `user_id` is whom it is about."""

    seq: int | None
    id: str
    type: str
    subject: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A consumer group: up to which number it was handed out entries, and how many of them it has not acknowledged."""

    name: str
    delivered: int
    pending: int


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream and the outbox it is shipped from.

    `entries` are the numbers and event ids still in it: what every group has acknowledged is trimmed. `last` is the
    number of the last entry it ever had.
    """

    name: str
    outbox: tuple[Event, ...]
    entries: tuple[tuple[int, str], ...]
    last: int
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A row of `notification`."""

    user_id: str
    seq: int
    event_id: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of `job`."""

    kind: str
    key: str
    state: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Email:
    """A row of `email`."""

    key: str
    message_id: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A message in the mailbox; two copies of one message have all of this in common."""

    message_id: str
    recipient: str
    subject: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """All of it, read once everything is quiet. `heads` are the feeds' last numbers by user id."""

    accounts: tuple[Account, ...] = ()
    orders: tuple[Order, ...] = ()
    keys: tuple[Key, ...] = ()
    products: tuple[Product, ...] = ()
    streams: tuple[Stream, ...] = ()
    notifications: tuple[Notification, ...] = ()
    heads: dict[str, int] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    emails: tuple[Email, ...] = ()
    mailbox: tuple[Mail, ...] = ()
    dead_letters: tuple[str, ...] = ()
    """Errors of the events that were given up."""

    @property
    def events(self) -> tuple[Event, ...]:
        """Those of all outboxes."""
        return tuple(event for stream in self.streams for event in stream.outbox)
