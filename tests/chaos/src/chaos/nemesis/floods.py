"""Clients that send more than they should, or never finish, and many logins at once."""

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat

import httpx

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS
from testkit.shopper import PASSWORD
from testkit.waiting import PATIENCE_S

_ADDRESS = "127.0.0.2"
"""Where floods come from, for limits by address; customers come from 127.0.0.1."""

_MIB = 1024 * 1024
_FLOOD_BYTES = 64 * _MIB
"""What one connection sends at most. It then waits until the server closes."""

_GROWTH_BYTES = 64 * _MIB
"""By so much the memory of a process may grow; several connections send as much each."""

_HEADS = 4
_SLOW_HEADS = 50
_UPLOADS = 500
"""For each process of the gateway: as many as it serves requests at once."""

_UPLOADS_AT_ONCE = 50
_PING_SOCKETS = 20
_LOGINS = 60
_BURSTS = 4
_READS = 10

_START = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
_LINES = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(64))
_PINGS = b"\x89\xfd0000" + b"0" * 125
_PINGS *= 500


async def flood_listeners(scene: Scene) -> None:
    """Row 20: endless heads, slow heads, idle uploads, and pings before the hello. No process ends because of it."""
    with scene.processes.kept():
        async with _bounded_memory(scene):
            for name in SERVERS:
                await _send_endless_heads(name, scene.port(name))
            await asyncio.gather(*(_send_slow_head(name, scene.port(name)) for name in SERVERS * _SLOW_HEADS))
            async with _idle_uploads(scene):
                await scene.crowd.progress(20)
            await asyncio.gather(*(_send_pings(scene.port("notifications")) for _ in range(_PING_SOCKETS)))


async def flood_logins(scene: Scene) -> None:
    """Row 22: 60 wrong logins at once, several times; each gets its own response, other calls to users succeed."""
    reader, *_ = scene.crowd.customers
    transport = httpx.AsyncHTTPTransport(local_address=_ADDRESS, limits=httpx.Limits(max_connections=None))
    async with httpx.AsyncClient(base_url=scene.gateway, transport=transport, timeout=PATIENCE_S) as client:

        async def log_in() -> str:
            form = {"grant_type": "password", "username": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD}
            response = await client.post("/v2/tokens", data=form)
            return f"{response.status_code} {response.json()['type'].rpartition('/')[2]}"

        for _ in range(_BURSTS):
            logins = asyncio.gather(*(log_in() for _ in range(_LOGINS)))
            for _ in range(_READS):
                await reader.look("/v2/users/me", attempts=1)
            got = Counter(await logins)
            wrong = [one for one in got if one[:3] not in {"401", "429"} and one != "503 too-many-logins"]
            assert not wrong, f"logins got {dict(got)}"


async def _send_endless_heads(name: str, port: int) -> None:
    """Send request heads that do not end, as many header lines and as one."""
    endless = ((_START, _LINES), (_START + b"X: ", b"a" * len(_LINES)))
    await asyncio.gather(*(_send(name, port, *head) for head in endless * (_HEADS // len(endless))))


async def _send(name: str, port: int, start: bytes, again: bytes) -> None:
    """Send `start`, then `again` many times, and return once the server has closed the connection."""
    with suppress(ConnectionError):
        async with _connection(name, port) as (reader, writer):
            for part in chain([start], repeat(again, _FLOOD_BYTES // len(again))):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)  # customers act in the same event loop
            while not reader.at_eof():
                await reader.read(_MIB)


async def _send_slow_head(name: str, port: int) -> None:
    """Send one byte a second until the server closes. Raises AssertionError if it does not."""
    with suppress(ConnectionError):
        async with _connection(name, port) as (reader, writer):
            writer.write(_START + b"X-Slow: ")
            while not reader.at_eof():
                writer.write(b"a")
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await reader.read(_MIB)


async def _send_pings(port: int) -> None:
    """Open a WebSocket, send no hello but pings, and read no pong before all are sent."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
    start = f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n\r\n".encode()
    await _send("notifications", port, start, _PINGS)


@asynccontextmanager
async def _idle_uploads(scene: Scene) -> AsyncIterator[None]:
    """Hold orders of one account whose bodies never come."""
    customer, *_ = scene.crowd.customers
    guest = await customer.invite()
    form = {"grant_type": "password", "username": guest.key, "password": PASSWORD}
    async with httpx.AsyncClient(base_url=scene.gateway, timeout=PATIENCE_S) as client:
        token = (await client.post("/v2/tokens", data=form)).raise_for_status().json()["access_token"]
    head = (
        f"POST /v2/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\nIdempotency-Key: "
    )
    writers = list[asyncio.StreamWriter]()
    try:
        for number in range(_UPLOADS * len(scene.processes.children("gateway"))):
            _, writer = await asyncio.open_connection("127.0.0.1", scene.port("gateway"), local_addr=(_ADDRESS, 0))
            writers.append(writer)
            writer.write(f"{head}{secrets.token_hex(16)}\r\n\r\n{{".encode())
            if number % _UPLOADS_AT_ONCE == 0:  # so many at once would be a flood of requests as well
                await scene.crowd.progress(1)
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def _connection(name: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that has to end within PATIENCE_S. Raises AssertionError if it does not."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(_ADDRESS, 0))
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise AssertionError(f"{name} did not close a connection within {PATIENCE_S:g} s") from None


@asynccontextmanager
async def _bounded_memory(scene: Scene) -> AsyncIterator[None]:
    """Raise AssertionError if the memory of a service's process grows too much within the block."""
    before = {name: scene.processes.memory_bytes(name) for name in SERVERS}
    most = dict(before)

    async def watch() -> None:
        while True:
            for name in SERVERS:
                most[name] = max(most[name], scene.processes.memory_bytes(name))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
    grown = {name: (most[name] - before[name]) // _MIB for name in SERVERS}
    assert max(grown.values()) * _MIB <= _GROWTH_BYTES, f"memory of processes grew by MiB: {grown}"
