"""From the order to the browser: how long until a placed order's notification arrives on the customer's WebSocket."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Benchmark, Effort, Figure, at_most
from bench.load import quantile
from bench.stage import Stage
from testkit.shopper import Shopper, register

ORDERS = 200
WARMUP = 20
ITEM = ("COASTER-CORK-6", 1)
PAUSE_S = 0.25
"""Longer than what an order causes after its frame takes: its email, its telemetry. Then the machine is idle again."""

_PATIENCE_S = 30.0


class Arrivals:
    """When the frame about each order came."""

    def __init__(self) -> None:
        self._at: dict[str, asyncio.Future[float]] = {}

    def of(self, order_id: str) -> "asyncio.Future[float]":
        """When it came, or will have come: the frame may be earlier than the answer to the order."""
        return self._at.setdefault(order_id, asyncio.get_running_loop().create_future())

    async def listen(self, socket: ClientConnection) -> None:
        """Read until the end."""
        cursor = 0
        async for message in socket:
            now, frame = time.perf_counter(), orjson.loads(message)
            if frame["t"] == "n":
                cursor = frame["seq"]
                if frame["kind"] == "order.placed":
                    self.of(frame["data"]["order_id"]).set_result(now)
            elif frame["t"] == "ping":
                await socket.send(orjson.dumps({"t": "pong", "cursor": cursor}).decode())


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """One order at a time on the whole embedded stack, pinned nowhere, as on a laptop: everything is in the way.

    The target is of an idle machine, so each order waits until what the one before has caused is over, and is packed
    when nobody measures any more. How long it takes while that goes on is told beside it.
    """
    stack = await stage.stack(FULFIL_STEP_SECONDS="3600")
    async with httpx.AsyncClient(base_url=stack.gateway, timeout=_PATIENCE_S) as client:
        shopper = await register(client)
        async with _listening(shopper) as arrivals:
            for _ in range(effort.amount(WARMUP)):
                await _order(shopper, arrivals)
            idle = [await _order(shopper, arrivals, after_s=PAUSE_S) for _ in range(effort.amount(ORDERS))]
            busy = [await _order(shopper, arrivals) for _ in range(effort.amount(ORDERS))]
    answered, pushed = _columns(idle)
    _, pushed_busy = _columns(busy)
    return [
        Figure(name="request sent → frame, p50", value=quantile(pushed, 0.5), unit="ms", target=at_most(30)),
        Figure(name="request sent → frame, p99", value=quantile(pushed, 0.99), unit="ms", target=at_most(100)),
        Figure(name="request sent → 201, p50", value=quantile(answered, 0.5), unit="ms"),
        Figure(name="request sent → 201, p99", value=quantile(answered, 0.99), unit="ms"),
        Figure(name="order upon order: request sent → frame, p50", value=quantile(pushed_busy, 0.5), unit="ms"),
        Figure(name="order upon order: request sent → frame, p99", value=quantile(pushed_busy, 0.99), unit="ms"),
    ]


def _columns(timed: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Milliseconds until the answers, and until the frames, each in ascending order."""
    answered, pushed = (sorted(1000 * one for one in column) for column in zip(*timed, strict=True))
    return answered, pushed


@asynccontextmanager
async def _listening(shopper: Shopper) -> AsyncIterator[Arrivals]:
    ticket = (await shopper.client.post("/v2/ws-tickets", headers=shopper.headers)).raise_for_status().json()
    arrivals = Arrivals()
    async with connect(ticket["url"], compression=None) as socket:
        await socket.send(orjson.dumps({"t": "hello", "v": 1, "ticket": ticket["ticket"], "cursor": 0}).decode())
        listener = asyncio.create_task(arrivals.listen(socket))
        yield arrivals
        listener.cancel()


async def _order(shopper: Shopper, arrivals: Arrivals, *, after_s: float = 0.0) -> tuple[float, float]:
    """Wait `after_s`, then order; seconds from the request until its answer, and until its frame."""
    await asyncio.sleep(after_s)
    began = time.perf_counter()
    response = await shopper.place_order(ITEM)
    answered = time.perf_counter()
    order_id = response.raise_for_status().json()["id"]
    async with asyncio.timeout(_PATIENCE_S):
        arrived = await arrivals.of(order_id)
    return answered - began, arrived - began


BENCHMARK = Benchmark(name="push", measures="an order placed until its frame arrives, whole embedded stack", run=run)
