"""The time from placing an order until its notification arrives on the customer's WebSocket."""

import asyncio
import time

import httpx

from bench.figures import Benchmark, Effort, Figure, at_most
from bench.load import quantile
from bench.stage import Stage
from hopline_client.device import Device
from hopline_client.realtime import Frame
from testkit.shopper import Shopper, register

ORDERS = 200
WARMUP = 20
ITEM = ("COASTER-CORK-6", 1)
"""SKU and quantity of each order."""
PAUSE_S = 0.25
"""Time after the frame of an order until the next order, in which its email and its telemetry are sent."""

_TIMEOUT_S = 30.0


class Arrivals:
    """The time at which the notification of each order arrived, by `time.perf_counter()`."""

    def __init__(self) -> None:
        self._at: dict[str, asyncio.Future[float]] = {}

    def of(self, order_id: str) -> "asyncio.Future[float]":
        """Return a future of the time. The notification can arrive before or after the response to the order."""
        return self._at.setdefault(order_id, asyncio.get_running_loop().create_future())

    def record(self, frame: Frame) -> None:
        """Record the time of a notification about a placed order; ignore other frames."""
        if frame.get("kind") == "order.placed":
            self.of(frame["data"]["order_id"]).set_result(frame.received_at)


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Place one order at a time on the whole embedded stack, without pinning, as on a laptop.

    The targets are for an idle machine. So each order is sent `PAUSE_S` seconds after the frame of the previous one,
    and no order is packed during the benchmark. Orders without this pause are measured as well.
    """
    stack = await stage.start_stack(FULFIL_STEP_SECONDS="3600")
    async with httpx.AsyncClient(base_url=stack.gateway, timeout=_TIMEOUT_S) as client:
        shopper = await register(client)
        arrivals = Arrivals()
        async with Device(client=shopper, resumes=False, on_frame=arrivals.record):
            for _ in range(effort.amount(WARMUP)):
                await _place_order(shopper, arrivals)
            idle = [await _place_order(shopper, arrivals, after_s=PAUSE_S) for _ in range(effort.amount(ORDERS))]
            busy = [await _place_order(shopper, arrivals) for _ in range(effort.amount(ORDERS))]
    responded, pushed = _sorted_columns(idle)
    _, pushed_busy = _sorted_columns(busy)
    return [
        Figure(name="request sent → frame, p50", value=quantile(pushed, 0.5), unit="ms", target=at_most(30)),
        Figure(name="request sent → frame, p99", value=quantile(pushed, 0.99), unit="ms", target=at_most(100)),
        Figure(name="request sent → 201, p50", value=quantile(responded, 0.5), unit="ms"),
        Figure(name="request sent → 201, p99", value=quantile(responded, 0.99), unit="ms"),
        Figure(name="without pauses: request sent → frame, p50", value=quantile(pushed_busy, 0.5), unit="ms"),
        Figure(name="without pauses: request sent → frame, p99", value=quantile(pushed_busy, 0.99), unit="ms"),
    ]


def _sorted_columns(timed: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the milliseconds until the responses, and until the frames, each in ascending order."""
    responded, pushed = (sorted(1000 * seconds for seconds in column) for column in zip(*timed, strict=True))
    return responded, pushed


async def _place_order(shopper: Shopper, arrivals: Arrivals, *, after_s: float = 0.0) -> tuple[float, float]:
    """Wait `after_s`, then order. Return the seconds from the request to the response, and to the frame."""
    await asyncio.sleep(after_s)
    began = time.perf_counter()
    response = await shopper.place_order(ITEM)
    responded = time.perf_counter()
    order_id = response.raise_for_status().json()["id"]
    async with asyncio.timeout(_TIMEOUT_S):
        arrived = await arrivals.of(order_id)
    return responded - began, arrived - began


BENCHMARK = Benchmark(name="push", measures="an order placed until its frame arrives, whole embedded stack", run=run)
