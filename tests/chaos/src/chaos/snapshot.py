"""The content of the stores, with which a check compares the history. Ids are text."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Account:
    """A row of `account` that was added during the run."""

    id: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """A row of `customer_order` with its items: SKU and quantity."""

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
    """A row of `product`; `arrived` is the number of units at the start of the run, including shipped ones."""

    sku: str
    stock: int
    reserved: int
    shipped: int
    arrived: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """A row of an outbox. `seq` is None until a sequence number is assigned. `user_id` is the user in its data."""

    seq: int | None
    id: str
    type: str
    subject: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A consumer group. `delivered` is the number of the last delivered entry, `pending` counts unacknowledged ones."""

    name: str
    delivered: int
    pending: int


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream and its outbox.

    `entries` has the number and the event id of each entry. The first entries are missing, because acknowledged entries
    are trimmed. `last` is the number of the last entry that was appended.
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
    """A message in the mailbox. Copies of one message are equal."""

    message_id: str
    recipient: str
    subject: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The content of all stores when nothing is in progress. `heads` has the last number of each feed by user id."""

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
    """Errors of dead events."""

    @property
    def events(self) -> tuple[Event, ...]:
        """Return the events of all outboxes."""
        return tuple(event for stream in self.streams for event in stream.outbox)
