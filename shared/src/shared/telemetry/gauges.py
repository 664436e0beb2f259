"""Figures that a loop looks up now and then: reported while they are fresh, and gone with whoever looked."""

import time

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.util.types import AttributeValue

FRESH_S = 30.0
"""A figure that nobody has renewed for so long is not reported: another process leads now, or none does."""

_meter = metrics.get_meter(__name__)


class Gauge:
    """One metric with a value for each set of labels."""

    def __init__(self, name: str, *, unit: str, description: str) -> None:
        self._values: dict[tuple[tuple[str, AttributeValue], ...], tuple[float, float]] = {}
        _meter.create_observable_gauge(name, [self._observed], unit=unit, description=description)

    def set(self, value: float, labels: dict[str, AttributeValue]) -> None:
        """What it is now."""
        self._values[tuple(labels.items())] = (value, time.monotonic())

    def _observed(self, _options: CallbackOptions) -> list[Observation]:
        oldest = time.monotonic() - FRESH_S
        self._values = {labels: known for labels, known in self._values.items() if known[1] >= oldest}
        return [Observation(value, dict(labels)) for labels, (value, _at) in self._values.items()]
