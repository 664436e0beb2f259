"""The history and the snapshot of a consistent shop: a customer with a device, a shipped and a cancelled order."""

from dataclasses import replace
from typing import Any

from chaos.history import Action, DeviceLog, Frame, History, Operation, Outcome
from chaos.snapshot import (
    Account,
    Email,
    Event,
    Group,
    Job,
    Key,
    Mail,
    Notification,
    Order,
    Product,
    Snapshot,
    Stream,
)

ADA = "ada"
EVENTS = (
    ("registered", "user.registered", ADA),
    ("placed-1", "order.placed", "order-1"),
    ("packed-1", "order.packed", "order-1"),
    ("shipped-1", "order.shipped", "order-1"),
    ("placed-2", "order.placed", "order-2"),
    ("cancelled-2", "order.cancelled", "order-2"),
)
"""Id, type and subject of each event, in the order of Ada's feed."""

TRACES = {"registered": "t-ada", "cancelled-2": "t-cancel"}


def trace_of(event_id: str) -> str:
    return TRACES.get(event_id, f"t-{event_id[-1]}")


def create_operation(action: Action, key: str, *, outcome: Outcome = Outcome.OK, **fields: Any) -> Operation:
    return Operation(action=action, outcome=outcome, key=key, **{"user_id": ADA} | fields)


def create_history() -> History:
    frames = [
        Frame(seq=seq, id=event_id, kind=kind, about=about, trace_id=trace_of(event_id))
        for seq, (event_id, kind, about) in enumerate(EVENTS, start=1)
    ]
    return History(
        operations=[
            create_operation(Action.REGISTER, "ada@example.com", responses=(ADA,), traces=("t-ada",), statuses=(201,)),
            create_operation(Action.PLACE, "key-1", responses=("order-1",), traces=("t-0", "t-1"), statuses=(0, 201)),
            create_operation(
                Action.PLACE, "key-2", responses=("order-2",) * 2, traces=("t-2", "t-3"), statuses=(201, 201)
            ),
            create_operation(Action.CANCEL, "order-2", responses=("order-2",), traces=("t-cancel",), statuses=(200,)),
            create_operation(Action.PLACE, "key-3", outcome=Outcome.FAILED, traces=("t-4",), statuses=(409,)),
            create_operation(Action.PLACE, "key-4", outcome=Outcome.INDETERMINATE, traces=("t-5",), statuses=(0,)),
        ],
        devices=[DeviceLog(name="phone", user_id=ADA, frames=frames)],
    )


def create_stream(name: str, *events: tuple[str, str, str], trimmed: int = 0) -> Stream:
    outbox = tuple(
        Event(seq=seq, id=event_id, type=f"hopline.{kind}.v1", subject=about, user_id=ADA)
        for seq, (event_id, kind, about) in enumerate(events, start=1)
    )
    groups = tuple(Group(name=group, delivered=len(outbox), pending=0) for group in ("notifications", "workers"))
    entries = tuple((event.seq or 0, event.id) for event in outbox[trimmed:])
    return Stream(name=name, outbox=outbox, entries=entries, last=len(outbox), groups=groups)


def create_mail(key: str) -> Mail:
    return Mail(message_id=f"<{key}>", recipient="ada@example.com", subject=key, size=len(key))


def create_snapshot() -> Snapshot:
    keys = [
        f"send_welcome_email:{ADA}",
        *(f"send_order_email:{status}:order-1" for status in ("placed", "shipped")),
        *(f"send_order_email:{status}:order-2" for status in ("placed", "cancelled")),
    ]
    return Snapshot(
        accounts=(Account(id=ADA, email="ada@example.com"),),
        orders=(
            Order(id="order-1", user_id=ADA, status="shipped", items=(("MUG", 2), ("CAP", 1))),
            Order(id="order-2", user_id=ADA, status="cancelled", items=(("MUG", 1),)),
        ),
        keys=tuple(Key(user_id=ADA, key=f"key-{n}", order_id=f"order-{n}") for n in (1, 2)),
        products=(
            Product(sku="MUG", stock=8, reserved=0, shipped=2, arrived=10),
            Product(sku="CAP", stock=4, reserved=0, shipped=1, arrived=5),
        ),
        streams=(create_stream("events:users", EVENTS[0]), create_stream("events:orders", *EVENTS[1:], trimmed=2)),
        notifications=tuple(
            Notification(user_id=ADA, seq=seq, event_id=event_id)
            for seq, (event_id, _, _) in enumerate(EVENTS, start=1)
        ),
        heads={ADA: len(EVENTS)},
        jobs=tuple(Job(kind=key.partition(":")[0], key=key, state="done", attempt=1) for key in keys),
        emails=tuple(Email(key=key, message_id=f"<{key}>", state="sent") for key in keys),
        mailbox=tuple(create_mail(key) for key in keys),
    )


def with_stream(snapshot: Snapshot, **changed: Any) -> Snapshot:
    """Return the snapshot with these fields of the stream of orders changed."""
    users, orders = snapshot.streams
    return replace(snapshot, streams=(users, replace(orders, **changed)))
