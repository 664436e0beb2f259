"""The number of idle WebSockets that one notifications process can hold, and the memory of each."""

import asyncio
import resource
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.dashboard import open_standins
from bench.figures import Benchmark, Effort, Figure, at_least, at_most
from bench.processes import Running
from bench.stage import Stage
from testkit.tokens import TokenIssuer

SOCKETS = 5_000
CONCURRENCY = 20
PING_S = 15
"""The default. More frequent pings leave less time for pongs."""
_KIB = 1024


class Workload:
    """Users with one device each, which only responds to pings."""

    def __init__(self, *, client: httpx.AsyncClient, url: str, issuer: TokenIssuer) -> None:
        self._client = client
        self._url = url
        self._issuer = issuer
        self._turns = asyncio.Semaphore(CONCURRENCY)
        self.pinged = 0
        self.open = 0

    async def connect(self, until: asyncio.Event, welcomed: asyncio.Semaphore) -> None:
        """Connect one device, send hello, and stay until the end; release `welcomed` after the server's welcome."""
        async with AsyncExitStack() as connected:
            async with self._turns:
                socket = await connected.enter_async_context(self._connected())
                await socket.recv()
            welcomed.release()
            self.open += 1
            staying = asyncio.create_task(self._stay(socket))
            await until.wait()
            staying.cancel()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        headers = self._issuer.headers(uuid.uuid4())
        ticket = (await self._client.post("/ws-tickets", headers=headers)).raise_for_status().json()["ticket"]
        async with connect(self._url, compression=None, open_timeout=60, ping_interval=None) as socket:
            await socket.send(orjson.dumps({"t": "hello", "v": 1, "ticket": ticket, "cursor": 0}).decode())
            yield socket

    async def _stay(self, socket: ClientConnection) -> None:
        try:
            async for _ping in socket:
                self.pinged += 1
                await socket.send('{"t":"pong","cursor":0}')
        except ConnectionClosed:
            self.open -= 1


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Connect all devices, and wait until each was pinged. Then the memory is stable."""
    _allow_many_files()
    issuer, wanted = TokenIssuer(), effort.amount(SOCKETS)
    server = await _open_notifications(stage, issuer)
    end, welcomed = asyncio.Event(), asyncio.Semaphore(0)
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client, asyncio.TaskGroup() as tasks:
        workload = Workload(client=client, url=f"ws://127.0.0.1:{server.port}/ws", issuer=issuer)
        first = tasks.create_task(workload.connect(end, welcomed))  # the cost of the first use is not counted
        await welcomed.acquire()
        before = server.resident_bytes()
        others = [tasks.create_task(workload.connect(end, welcomed)) for _ in range(wanted)]
        for _ in others:
            await welcomed.acquire()
        await asyncio.sleep(2 * PING_S * effort.scale)
        held, kib_each = workload.open, (server.resident_bytes() - before) / len(others) / _KIB
        end.set()
    first.result()
    return [
        Figure(name="idle sockets held by one process", value=held, unit="sockets", target=at_least(wanted)),
        Figure(name="memory for each", value=kib_each, unit="KiB", target=at_most(40)),
        Figure(name="pings received", value=workload.pinged, unit="pings"),
    ]


async def _open_notifications(stage: Stage, issuer: TokenIssuer) -> Running:
    standins = await open_standins(stage, issuer)
    return await stage.service(
        "notifications",
        environment={
            "DATABASE_URL": await stage.postgres("notifications"),
            "REDIS_URL": await stage.valkey(),
            "JWKS_URL": f"{standins.url}/.well-known/jwks.json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": standins.url,
            "LOG_FORMAT": "json",
        },
    )


def _allow_many_files() -> None:
    """Raise the limit of open files: two per socket, one of them in the server, which inherits the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS * 2
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


BENCHMARK = Benchmark(name="sockets", measures="idle WebSockets on one notifications process", run=run)
