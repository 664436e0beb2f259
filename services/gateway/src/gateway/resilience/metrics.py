"""What the parts tell in numbers. States are read when metrics are collected: a request pays only for what is rare."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

if TYPE_CHECKING:
    from gateway.resilience.guard import Guard
    from gateway.resilience.shedding import Load

_meter = metrics.get_meter(__name__)
_guards: "set[Guard]" = set()
_loads: "set[Load]" = set()

_STATES = {"closed": 0, "half_open": 1, "open": 2}

_turns = _meter.create_counter(
    "hopline.gateway.circuit.turns", unit="{turn}", description="Changes of a circuit's state, by the new state"
)
_refusals = _meter.create_counter(
    "hopline.gateway.refusals", unit="{call}", description="Calls not made, by the part that refused them"
)
_retries = _meter.create_counter(
    "hopline.gateway.retries", unit="{attempt}", description="Attempts after the first, made or not paid for"
)
_repeats = _meter.create_counter(
    "hopline.gateway.repeats", unit="{request}", description="Requests written again, unheard on a kept connection"
)
_hedges = _meter.create_counter(
    "hopline.gateway.hedges", unit="{attempt}", description="Second attempts at a late read, made or not paid for"
)
_sheds = _meter.create_counter(
    "hopline.gateway.shed", unit="{request}", description="Requests refused for the load, by read, write or upload"
)


def labels(name: str) -> dict[str, str]:
    """Return the attributes of a guard: of a service, `users`, or of one of its endpoints, `users POST /tokens`."""
    service, *endpoint = name.split(" ")
    return {"service.peer.name": service, **dict(zip(("http.request.method", "url.template"), endpoint, strict=False))}


def turned(upstream: str, state: str) -> None:
    """Count a circuit's change to `state`."""
    _turns.add(1, {**labels(upstream), "hopline.circuit.state": state})


def refused(upstream: str, part: str) -> None:
    """Count a call that `part` (circuit, bulkhead, share) did not let through."""
    _refusals.add(1, {**labels(upstream), "hopline.refused_by": part})


def retried(upstream: str, *, paid: bool) -> None:
    """Count a retry, or one that the budget did not allow."""
    _retries.add(1, {**labels(upstream), "hopline.paid": paid})


def repeated(upstream: str) -> None:
    """Count a request that was written again because a kept connection had ended."""
    _repeats.add(1, labels(upstream))


def hedged(upstream: str, *, paid: bool) -> None:
    """Count a hedge, or one that the budget did not allow."""
    _hedges.add(1, {**labels(upstream), "hopline.paid": paid})


def shed(kind: str) -> None:
    """Count a request that was not served."""
    _sheds.add(1, {"hopline.kind": kind})


@contextmanager
def guard_shown(guard: "Guard") -> Iterator[None]:
    """Show the state of this guard within the block."""
    _guards.add(guard)
    try:
        yield
    finally:
        _guards.discard(guard)


@contextmanager
def load_shown(load: "Load") -> Iterator[None]:
    """Show this load within the block."""
    _loads.add(load)
    try:
        yield
    finally:
        _loads.discard(load)


def _of_guards(value: "Callable[[Guard], float]") -> Sequence[Callable[[CallbackOptions], Iterator[Observation]]]:
    def observe(_options: CallbackOptions) -> Iterator[Observation]:
        for guard in tuple(_guards):
            yield Observation(value(guard), labels(guard.name))

    return [observe]


def _of_loads(_options: CallbackOptions) -> Iterator[Observation]:
    yield from (Observation(load.in_flight) for load in tuple(_loads))


_meter.create_observable_gauge(
    "hopline.gateway.circuit.state",
    callbacks=_of_guards(lambda guard: _STATES[guard.breaker.state]),
    description="0 closed, 1 half open, 2 open",
)
_meter.create_observable_gauge(
    "hopline.gateway.calls.in_flight",
    callbacks=_of_guards(lambda guard: guard.bulkhead.inside),
    unit="{call}",
    description="Calls to a service being made",
)
_meter.create_observable_gauge(
    "hopline.gateway.retries.saved",
    callbacks=_of_guards(lambda guard: guard.budget.saved),
    unit="{attempt}",
    description="Retries that the budget would pay for now",
)
_meter.create_observable_gauge(
    "hopline.gateway.requests.in_flight",
    callbacks=[_of_loads],
    unit="{request}",
    description="Requests being served",
)
