"""Gauges of the resilience parts. They are read when metrics are collected, so that they add no work to requests."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from gateway.resilience.breaker import State
from gateway.resilience.metrics import get_attributes
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.resilience.shedding import Load

_meter = metrics.get_meter("gateway.resilience.metrics")  # the same instrumentation scope as the counters
_pipelines: set[ResiliencePipeline] = set()
_loads: set[Load] = set()

_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@contextmanager
def observe_pipeline(pipeline: ResiliencePipeline) -> Iterator[None]:
    """Report the state of this pipeline within the block."""
    _pipelines.add(pipeline)
    try:
        yield
    finally:
        _pipelines.discard(pipeline)


@contextmanager
def observe_load(load: Load) -> Iterator[None]:
    """Report this load within the block."""
    _loads.add(load)
    try:
        yield
    finally:
        _loads.discard(load)


def _per_pipeline(
    value: Callable[[ResiliencePipeline], float],
) -> Sequence[Callable[[CallbackOptions], Iterator[Observation]]]:
    def observe(_options: CallbackOptions) -> Iterator[Observation]:
        for pipeline in tuple(_pipelines):
            yield Observation(value(pipeline), get_attributes(pipeline.name))

    return [observe]


def _per_load(_options: CallbackOptions) -> Iterator[Observation]:
    yield from (Observation(load.in_flight) for load in tuple(_loads))


_meter.create_observable_gauge(
    "hopline.gateway.circuit.state",
    callbacks=_per_pipeline(lambda pipeline: _STATES[pipeline.breaker.state]),
    description="State of the circuit breaker: 0 closed, 1 half open, 2 open",
)
_meter.create_observable_gauge(
    "hopline.gateway.calls.in_flight",
    callbacks=_per_pipeline(lambda pipeline: pipeline.bulkhead.in_flight),
    unit="{call}",
    description="Concurrent calls to a service",
)
_meter.create_observable_gauge(
    "hopline.gateway.retries.saved",
    callbacks=_per_pipeline(lambda pipeline: pipeline.budget.balance),
    unit="{attempt}",
    description="Retries that the budget allows now",
)
_meter.create_observable_gauge(
    "hopline.gateway.requests.in_flight",
    callbacks=[_per_load],
    unit="{request}",
    description="Concurrent requests",
)
