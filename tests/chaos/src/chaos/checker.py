"""Computes the outcome of one run from its history, the snapshot and the guarantees of its row."""

from collections.abc import Collection, Mapping

from chaos.guarantees import ResponseGuarantee
from chaos.history import History
from chaos.invariants import INVARIANTS
from chaos.snapshot import Snapshot

Outcome = Mapping[str, list[str]]
"""A list of violations by the name of an invariant. `responses` has the violations of the guarantees."""

RESPONSES = "responses"

CONSUMERS = ("notifications", "workers")
"""The consumer groups of all streams."""


def check(history: History, snapshot: Snapshot, *, guarantees: Collection[ResponseGuarantee] = ()) -> Outcome:
    """Return the violations of all invariants and of the given guarantees."""
    outcome = {name: list(invariant(history, snapshot)) for name, invariant in INVARIANTS.items()}
    return outcome | {RESPONSES: [violation for guarantee in guarantees for violation in guarantee(history)]}


def holds(outcome: Outcome) -> bool:
    """Return whether there are no violations."""
    return not any(outcome.values())


def pending_work(history: History, snapshot: Snapshot) -> list[str]:
    """Return descriptions of the work in progress. While there is some, a check would report its results as lost."""
    pending = [
        *(f"job {job.key} is {job.state}" for job in snapshot.jobs if job.state in {"queued", "running"}),
        *(f"order {order.id} is {order.status}" for order in snapshot.orders if order.status in {"placed", "packed"}),
        *(
            f"{device.name} is at {device.cursor}"
            for device in history.devices
            if device.cursor < snapshot.heads.get(device.user_id, 0)
        ),
    ]
    for stream in snapshot.streams:
        if any(event.seq is None or event.seq > stream.last for event in stream.outbox):
            pending.append(f"{stream.name} is at {stream.last}")
        names = {group.name for group in stream.groups}
        if stream.outbox and len(names) < len(CONSUMERS):
            pending.append(f"{stream.name} is read by {sorted(names)} only")
        pending += [
            f"{group.name} is at {group.delivered} of {stream.name}, {group.pending} pending"
            for group in stream.groups
            if group.pending or group.delivered < stream.last
        ]
    return pending
