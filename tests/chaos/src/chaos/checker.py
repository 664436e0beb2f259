"""The verdict on one run: pure, from the record, the holdings and the promises of its row."""

from collections.abc import Collection, Mapping

from chaos.history import History
from chaos.holdings import Holdings
from chaos.invariants import INVARIANTS
from chaos.promises import Promise

Verdict = Mapping[str, list[str]]
"""By the invariant's name (`answers` for the promises): what breaks it; empty where it holds."""

ANSWERS = "answers"

CONSUMERS = ("notifications", "workers")
"""The groups that read every stream."""


def check(history: History, holdings: Holdings, *, promises: Collection[Promise] = ()) -> Verdict:
    """Compare what customers know with what is there."""
    verdict = {name: list(invariant(history, holdings)) for name, invariant in INVARIANTS.items()}
    return verdict | {ANSWERS: [broken for promise in promises for broken in promise(history)]}


def holds(verdict: Verdict) -> bool:
    """Whether nothing is broken."""
    return not any(verdict.values())


def unsettled(history: History, holdings: Holdings) -> list[str]:
    """What is still under way, in words: a verdict before it is over would call it lost."""
    waiting = [
        *(f"job {job.key} is {job.state}" for job in holdings.jobs if job.state in {"queued", "running"}),
        *(f"order {order.id} is {order.status}" for order in holdings.orders if order.status in {"placed", "packed"}),
        *(
            f"{device.name} is at {device.cursor}"
            for device in history.devices
            if device.cursor < holdings.heads.get(device.user_id, 0)
        ),
    ]
    for stream in holdings.streams:
        if any(event.seq is None or event.seq > stream.last for event in stream.outbox):
            waiting.append(f"{stream.name} is at {stream.last}")
        names = {group.name for group in stream.groups}
        if stream.outbox and len(names) < len(CONSUMERS):
            waiting.append(f"{stream.name} is read by {sorted(names)} only")
        waiting += [
            f"{group.name} is at {group.delivered} of {stream.name}, {group.pending} in hand"
            for group in stream.groups
            if group.pending or group.delivered < stream.last
        ]
    return waiting
