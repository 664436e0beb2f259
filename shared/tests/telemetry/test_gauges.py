"""A gauge that one thread sets while another thread exports it."""

from collections.abc import Iterator

from shared.telemetry.gauges import FRESH_S, Gauge
from testkit.metrics import RecordedMetrics


class SettingLabel(str):
    """A label that sets a value with new labels whenever it is hashed, as another thread can at any time."""

    __slots__ = ("gauge", "numbers")
    gauge: Gauge
    numbers: Iterator[int]

    def __hash__(self) -> int:
        self.gauge.set(0, {"label": f"new {next(self.numbers, 0)}"})
        return str.__hash__(self)


class TestGauge:
    def test_value_is_not_exported_when_it_was_not_set_for_a_while(self, metrics: RecordedMetrics) -> None:
        now = 0.0
        gauge = Gauge("tests.expiring", unit="1", description="for tests", clock=lambda: now)
        gauge.set(7, {"label": "old"})
        now = FRESH_S
        gauge.set(3, {"label": "fresh"})
        assert metrics.value("tests.expiring") == 10
        now += 1
        assert metrics.value("tests.expiring") == 3

    def test_value_is_exported_when_another_value_is_set_during_the_export(self, metrics: RecordedMetrics) -> None:
        label = SettingLabel("known")
        label.gauge, label.numbers = Gauge("tests.gauge", unit="1", description="for tests"), iter(range(10))
        label.gauge.set(7, {"label": label})
        assert metrics.value("tests.gauge", {"label": "known"}) == 7
