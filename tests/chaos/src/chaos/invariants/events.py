"""Invariants of outboxes, streams and notifications."""

from collections.abc import Iterator

from chaos.history import History
from chaos.invariants.sets import find_differences
from chaos.snapshot import Snapshot, Stream

NOTIFIED = frozenset(
    {
        "hopline.user.registered.v1",
        *(f"hopline.order.{state}.v1" for state in ("placed", "packed", "shipped", "cancelled")),
    }
)
"""The types of the events of a run that cause a notification."""


def streams_equal_outboxes(_history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I3: an outbox has the numbers 1, 2, 3…, and its stream has the last rows of the outbox."""
    for stream in snapshot.streams:
        yield from (f"{stream.name}: {violation}" for violation in _compare_with_outbox(stream))


def _compare_with_outbox(stream: Stream) -> Iterator[str]:
    by_number = {event.seq: event.id for event in stream.outbox}
    unassigned = sum(event.seq is None for event in stream.outbox)
    if unassigned:
        yield f"{unassigned} events have no sequence number"
    numbers = [event.seq for event in stream.outbox if event.seq is not None]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        yield f"the outbox's numbers have a gap or a repeat below {max(numbers)}"
    if stream.last != len(numbers):
        yield f"the stream ends at {stream.last} of {len(numbers)}"
    first = stream.entries[0][0] if stream.entries else 0
    if [number for number, _ in stream.entries] != list(range(first, first + len(stream.entries))):
        yield f"its entries have a gap after {first}"
    if stream.entries and stream.entries[-1][0] != stream.last:
        yield f"its last entry is {stream.entries[-1][0]}, but {stream.last} was appended"
    for number, event_id in stream.entries:
        if by_number.get(number) != event_id:
            yield f"entry {number} is {event_id}, the outbox has {by_number.get(number)}"


def one_notification_per_event(_history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I4: each event has one notification for its user, and none for other users."""
    expected = {(event.id, event.user_id) for event in snapshot.events if event.type in NOTIFIED}
    observed = [(row.event_id, row.user_id) for row in snapshot.notifications]
    return find_differences("notification", acknowledged=expected, indeterminate=(), observed=observed)
