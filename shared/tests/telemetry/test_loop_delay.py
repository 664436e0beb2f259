"""The metric of the event loop's delay."""

import asyncio
import time

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from shared.telemetry.loop_delay import measure_loop_delay
from testkit.waiting import eventually

BLOCKED_S = 0.2
TOLERANCE_S = 0.05
"""Part of the block that passes before the sample is due: at most one interval of 0.01 s, on a busy machine more."""


async def test_delay_includes_the_time_for_which_the_loop_was_blocked(metric_reader: InMemoryMetricReader) -> None:
    def sum_delays() -> float:
        data = metric_reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        points = [
            point
            for scope in scopes
            for metric in scope.metrics
            if metric.name == "hopline.event_loop.delay"
            for point in metric.data.data_points
        ]
        return sum(point.sum for point in points if isinstance(point, HistogramDataPoint))

    before = sum_delays()
    async with measure_loop_delay(interval_s=0.01):
        await asyncio.sleep(0)  # the first sample begins
        time.sleep(BLOCKED_S)  # noqa: ASYNC251 - blocks the loop
        await eventually(lambda: sum_delays() - before >= BLOCKED_S - TOLERANCE_S)
