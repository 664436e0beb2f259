"""The delay of the event loop. Blocking code delays every request, socket and job of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry import metrics

SAMPLE_S = 1.0

_delays = metrics.get_meter(__name__).create_histogram(
    "hopline.event_loop.delay",
    unit="s",
    description="Time by which a sleeping task was resumed too late",
    explicit_bucket_boundaries_advisory=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
)


@asynccontextmanager
async def measure_loop_delay(*, every_s: float = SAMPLE_S) -> AsyncIterator[None]:
    """Measure every `every_s` seconds until the block ends."""
    task = asyncio.create_task(_measure(every_s), name="loop delay")
    try:
        yield
    finally:
        task.cancel()


async def _measure(every_s: float) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due = now() + every_s
        await asyncio.sleep(every_s)
        _delays.record(max(now() - due, 0.0))
