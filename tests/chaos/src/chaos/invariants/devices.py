"""Invariants of frames."""

from collections.abc import Iterator

from chaos.history import Action, DeviceLog, History
from chaos.snapshot import Snapshot


def every_device_received_all(history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I6: each device received 1..head in order, without gaps or repeats.

    Each frame must be the notification that the feed has under its `seq`.
    """
    feeds = {(row.user_id, row.seq): row.event_id for row in snapshot.notifications}
    for device in history.devices:
        head = snapshot.heads.get(device.user_id, 0)
        yield from (f"{device.name}: {violation}" for violation in _find_sequence_violations(device, head))
        for frame in device.frames:
            if feeds.get((device.user_id, frame.seq)) != frame.id:
                yield f"{device.name}: {frame.seq} was {frame.id}, which is not the notification in the feed"


def _find_sequence_violations(device: DeviceLog, head: int) -> Iterator[str]:
    highest = 0
    for frame in device.frames:
        if frame.seq != highest + 1:
            yield f"{'a repeated or late frame' if frame.seq <= highest else 'a gap'}: {frame.seq} after {highest}"
        highest = max(highest, frame.seq)
    if highest != head:
        yield f"it received up to {highest} of {head}"


def frames_carry_their_trace(history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I9: the trace id of a frame is that of one attempt of the operation that caused the frame."""
    causes = _causes(history, snapshot)
    for device in history.devices:
        for frame in device.frames:
            action = Action.CANCEL if frame.kind == "order.cancelled" else Action.PLACE
            if frame.kind == "user.registered":
                action = Action.REGISTER
            if frame.trace_id not in causes.get((action, frame.about), ()):
                yield f"{device.name}: {frame.kind} {frame.about} came with trace {frame.trace_id}"


def _causes(history: History, snapshot: Snapshot) -> dict[tuple[Action, str], set[str]]:
    """Return the trace ids of the attempts that may have caused a frame, by action and id of the order or account."""
    orders = {(key.user_id, key.key): key.order_id for key in snapshot.keys}
    accounts = {account.email: account.id for account in snapshot.accounts}
    causes: dict[tuple[Action, str], set[str]] = {}
    for operation in history.operations:
        about = {
            Action.REGISTER: accounts.get(operation.key),
            Action.PLACE: orders.get((operation.user_id, operation.key)),
            Action.CANCEL: operation.key,
            Action.READ: None,
        }[operation.action]
        if about:
            causes.setdefault((operation.action, about), set()).update(operation.traces)
    return causes
