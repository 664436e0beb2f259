"""The number of idle WebSockets that one process of the notifications service can hold, and the memory of each."""

import asyncio
import resource
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.dashboard import open_fakes
from bench.figures import Benchmark, Effort, Figure, at_least, at_most
from bench.processes import Running
from bench.stage import Stage
from testkit.tokens import TokenIssuer

SOCKETS = 5_000
MAX_HANDSHAKES = 20
"""Number of devices that connect at the same time."""
PING_S = 15
"""Interval of the server's pings, the default of WS_PING_SECONDS."""
_KIB = 1024


class Workload:
    """Users with one device each. A device only responds to pings."""

    def __init__(self, *, client: httpx.AsyncClient, url: str, issuer: TokenIssuer) -> None:
        self._client = client
        self._url = url
        self._issuer = issuer
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        self.pinged = 0
        self.open = 0

    async def connect(self, end: asyncio.Event, welcomed: asyncio.Semaphore) -> None:
        """Connect one device until `end` is set. Release `welcomed` once the server has welcomed it."""
        async with AsyncExitStack() as connected:
            async with self._handshakes:
                socket = await connected.enter_async_context(self._open_socket())
                await socket.recv()
            welcomed.release()
            self.open += 1
            responding = asyncio.create_task(self._respond_to_pings(socket))
            await end.wait()
            responding.cancel()

    @asynccontextmanager
    async def _open_socket(self) -> AsyncIterator[ClientConnection]:
        headers = self._issuer.headers(uuid.uuid4())
        ticket = (await self._client.post("/ws-tickets", headers=headers)).raise_for_status().json()["ticket"]
        async with connect(self._url, compression=None, open_timeout=60, ping_interval=None) as socket:
            await socket.send(orjson.dumps({"t": "hello", "v": 1, "ticket": ticket, "cursor": 0}).decode())
            yield socket

    async def _respond_to_pings(self, socket: ClientConnection) -> None:
        try:
            async for _ping in socket:
                self.pinged += 1
                await socket.send('{"t":"pong","cursor":0}')
        except ConnectionClosed:
            self.open -= 1


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Connect all devices, and wait for two pings of each, so that the memory is stable."""
    _allow_many_files()
    issuer, wanted = TokenIssuer(), effort.amount(SOCKETS)
    server = await _open_notifications(stage, issuer)
    end, welcomed = asyncio.Event(), asyncio.Semaphore(0)
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client, asyncio.TaskGroup() as tasks:
        workload = Workload(client=client, url=f"ws://127.0.0.1:{server.port}/ws", issuer=issuer)
        first = tasks.create_task(workload.connect(end, welcomed))  # not measured: it loads code
        await welcomed.acquire()
        before = server.memory_bytes()
        others = [tasks.create_task(workload.connect(end, welcomed)) for _ in range(wanted)]
        for _ in others:
            await welcomed.acquire()
        await asyncio.sleep(2 * PING_S * effort.scale)
        held = workload.open
        kib_each = (server.memory_bytes() - before) / len(others) / _KIB
        end.set()
    first.result()
    return [
        Figure(name="idle sockets held by one process", value=held, unit="sockets", target=at_least(wanted)),
        Figure(name="memory for each", value=kib_each, unit="KiB", target=at_most(40)),
        Figure(name="pings received", value=workload.pinged, unit="pings"),
    ]


async def _open_notifications(stage: Stage, issuer: TokenIssuer) -> Running:
    fakes = await open_fakes(stage, issuer)
    return await stage.start_service(
        "notifications",
        environment={
            "DATABASE_URL": await stage.open_database("notifications"),
            "REDIS_URL": await stage.open_valkey(),
            "JWKS_URL": f"{fakes.url}/.well-known/jwks.json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": fakes.url,
            "LOG_FORMAT": "json",
        },
    )


def _allow_many_files() -> None:
    """Raise the limit of open files, which the server inherits. Both processes open one file per socket."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS * 2  # half of them are for other files
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


BENCHMARK = Benchmark(name="sockets", measures="idle WebSockets on one notifications process", run=run)
