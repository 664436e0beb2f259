"""The invariants after any fault: pure functions that yield violations of a history and a snapshot."""

from collections.abc import Callable, Iterator, Mapping

from chaos.history import History
from chaos.invariants.devices import every_device_received_all, frames_carry_their_trace
from chaos.invariants.events import one_notification_per_event, streams_equal_outboxes
from chaos.invariants.jobs import nothing_is_stuck, one_email_per_key
from chaos.invariants.orders import nothing_lost_or_unexpected, one_order_per_key, stock_adds_up
from chaos.snapshot import Snapshot

Invariant = Callable[[History, Snapshot], Iterator[str]]

INVARIANTS: Mapping[str, Invariant] = {
    "I1": nothing_lost_or_unexpected,
    "I2": one_order_per_key,
    "I3": streams_equal_outboxes,
    "I4": one_notification_per_event,
    "I5": one_email_per_key,
    "I6": every_device_received_all,
    "I7": nothing_is_stuck,
    "I8": stock_adds_up,
    "I9": frames_carry_their_trace,
}
"""The invariants by their names in the documentation and in the printed table."""

__all__ = ["INVARIANTS", "Invariant"]
