"""Counters of the resilience parts. `gauges` reports their state."""

from opentelemetry import metrics

_meter = metrics.get_meter(__name__)

_transitions = _meter.create_counter(
    "hopline.gateway.circuit.turns", unit="{turn}", description="Transitions of the circuit breaker, by new state"
)
_rejections = _meter.create_counter(
    "hopline.gateway.refusals",
    unit="{call}",
    description="Calls rejected before they were made, by the part that rejected them",
)
_retries = _meter.create_counter(
    "hopline.gateway.retries", unit="{attempt}", description="Attempts after the first, allowed by the budget or not"
)
_resends = _meter.create_counter(
    "hopline.gateway.repeats",
    unit="{request}",
    description="Requests sent again because the kept connection was closed",
)
_hedges = _meter.create_counter(
    "hopline.gateway.hedges",
    unit="{attempt}",
    description="Second attempts at a slow read, allowed by the budget or not",
)
_sheds = _meter.create_counter(
    "hopline.gateway.shed", unit="{request}", description="Requests rejected by load shedding: read, write or upload"
)


def get_attributes(name: str) -> dict[str, str]:
    """Return the attributes of a pipeline: of a service (`users`) or of one of its endpoints (`users POST /tokens`)."""
    service, *endpoint = name.split(" ")
    return {"service.peer.name": service, **dict(zip(("http.request.method", "url.template"), endpoint, strict=False))}


def record_transition(upstream: str, state: str) -> None:
    """Count a transition of a circuit breaker to `state`."""
    _transitions.add(1, {**get_attributes(upstream), "hopline.circuit.state": state})


def record_rejection(upstream: str, part: str) -> None:
    """Count a call that `part` rejected: `circuit`, `bulkhead`, or `share` for the limit per user."""
    _rejections.add(1, {**get_attributes(upstream), "hopline.refused_by": part})


def record_retry(upstream: str, *, allowed: bool) -> None:
    """Count a retry. `allowed` is False if the budget prevented it."""
    _retries.add(1, {**get_attributes(upstream), "hopline.paid": allowed})


def record_resend(upstream: str) -> None:
    """Count a request that was sent again because the kept connection was closed."""
    _resends.add(1, get_attributes(upstream))


def record_hedge(upstream: str, *, allowed: bool) -> None:
    """Count a hedge. `allowed` is False if the budget prevented it."""
    _hedges.add(1, {**get_attributes(upstream), "hopline.paid": allowed})


def record_shed(kind: str) -> None:
    """Count a rejected request: `read`, `write` or `upload`."""
    _sheds.add(1, {"hopline.kind": kind})
