"""The delay of the event loop. Blocking code delays every request, socket and job of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry import metrics

SAMPLE_INTERVAL_S = 1.0

_delays = metrics.get_meter(__name__).create_histogram(
    "hopline.event_loop.delay",
    unit="s",
    description="Time from when a sleeping task was due until it was resumed",
    explicit_bucket_boundaries_advisory=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
)


@asynccontextmanager
async def measure_loop_delay(*, interval_s: float = SAMPLE_INTERVAL_S) -> AsyncIterator[None]:
    """Record the delay of the event loop every `interval_s` seconds while the block runs."""
    task = asyncio.create_task(_measure(interval_s), name="loop delay")
    try:
        yield
    finally:
        task.cancel()


async def _measure(interval_s: float) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due = now() + interval_s
        await asyncio.sleep(interval_s)
        _delays.record(max(now() - due, 0.0))
