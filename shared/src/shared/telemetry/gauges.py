"""Gauges whose values expire, for values that a background loop measures every few seconds."""

import time
from collections.abc import Callable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue

FRESH_S = 30.0
"""Age in seconds above which a value is not reported, because this process probably stopped being the leader."""

_meter = metrics.get_meter(__name__)


class Gauge:
    """An observable gauge with one value per set of labels. It is set in the event loop and read by another thread."""

    def __init__(self, name: str, *, unit: str, description: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[tuple[tuple[str, AttributeValue], ...], tuple[float, float]] = {}
        _meter.create_observable_gauge(name, [self._observe], unit=unit, description=description)

    def set(self, value: float, labels: dict[str, AttributeValue]) -> None:
        """Set the current value."""
        self._values[tuple(labels.items())] = (value, self._clock())

    def _observe(self, _options: CallbackOptions) -> list[Observation]:
        oldest = self._clock() - FRESH_S
        known = list(self._values.items())  # a copy: iteration fails if labels are added meanwhile
        for labels, (_value, at) in known:
            if at < oldest:
                self._values.pop(labels, None)
        return [Observation(value, dict(labels)) for labels, (value, at) in known if at >= oldest]
