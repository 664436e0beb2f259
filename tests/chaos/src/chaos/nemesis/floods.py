"""Clients that send too much or never finish a request, and many concurrent logins."""

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat

import httpx

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS, Processes
from hopline_client import api
from hopline_client.api import ProblemError
from hopline_client.backoff import NO_RETRIES
from hopline_client.rest import Client, open_client
from testkit.shopper import PASSWORD
from testkit.waiting import TIMEOUT_S

_ADDRESS = "127.0.0.2"
"""The source address of floods, for limits by address. Customers use 127.0.0.1."""

_MIB = 1024 * 1024
_FLOOD_BYTES = 64 * _MIB
"""Maximum number of bytes that a client sends on one connection before it waits for the server to close it."""

MAX_GROWTH_BYTES = 64 * _MIB
"""Maximum growth of the memory of a process. One connection alone sends as much."""

_HEADS = 4
"""Connections per service that send a request head without an end."""

_SLOW_HEADS = 50
"""Connections per service that send a request head slowly."""

_UPLOADS = 500
"""Uploads per process of the gateway: its maximum number of concurrent requests."""

_UPLOAD_BATCH = 50
"""Uploads that are opened before the nemesis waits for an operation of a customer."""

_PING_SOCKETS = 20
_LOGINS = 60
"""Concurrent logins of one burst."""

_BURSTS = 4
_READS = 10
"""Reads of a customer during one burst."""

_HEAD_START = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
_HEADER_LINES = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(64))
_PING = b"\x89\xfd" + b"0000" + b"0" * 125
"""FIN and opcode 9, mask bit and length 125, masking key, payload (RFC 6455 §5.2)."""

_PINGS = _PING * 500


async def flood_listeners(scene: Scene) -> None:
    """Row 20: send endless heads, slow heads, idle uploads, and pings before the hello. No process may exit."""
    with scene.processes.assert_none_exits():
        async with bounded_memory(scene.processes):
            for name in SERVERS:
                await _send_endless_heads(name, scene.port(name))
            await asyncio.gather(*(_send_slow_head(name, scene.port(name)) for name in SERVERS * _SLOW_HEADS))
            async with _idle_uploads(scene):
                await scene.workload.progress(20)
            await asyncio.gather(*(_send_pings(scene.port("notifications")) for _ in range(_PING_SOCKETS)))


async def flood_logins(scene: Scene) -> None:
    """Row 22: send bursts of concurrent wrong logins. Each must be rejected, and other calls to users must succeed."""
    reader, *_ = scene.workload.customers
    transport = httpx.AsyncHTTPTransport(local_address=_ADDRESS, limits=httpx.Limits(max_connections=None))
    async with httpx.AsyncClient(base_url=scene.gateway, transport=transport, timeout=TIMEOUT_S) as http:
        client = Client(http=http, retry_policy=NO_RETRIES, timeout_s=2 * TIMEOUT_S)

        async def log_in() -> str:
            request = api.log_in(email=f"{secrets.token_hex(8)}@example.com", password=PASSWORD)
            problem = ProblemError(request, await client.send(request))
            return f"{problem.status} {problem.slug}"

        for _ in range(_BURSTS):
            logins = asyncio.gather(*(log_in() for _ in range(_LOGINS)))
            for _ in range(_READS):
                await reader.read("/v2/users/me", attempts=1)
            responses = Counter(await logins)
            unexpected = [
                response
                for response in responses
                if response[:3] not in {"401", "429"} and response != "503 too-many-logins"
            ]
            assert not unexpected, f"logins got {dict(responses)}"


async def _send_endless_heads(name: str, port: int) -> None:
    """Send endless request heads, with many header lines and with one long line."""
    endless = ((_HEAD_START, _HEADER_LINES), (_HEAD_START + b"X: ", b"a" * len(_HEADER_LINES)))
    await asyncio.gather(*(_flood(name, port, *head) for head in endless * (_HEADS // len(endless))))


async def _flood(name: str, port: int, start: bytes, repeated: bytes) -> None:
    """Send `start`, then `repeated` up to _FLOOD_BYTES, and wait until the server closes the connection."""
    with suppress(ConnectionError):
        async with _connection(name, port) as (reader, writer):
            for part in chain([start], repeat(repeated, _FLOOD_BYTES // len(repeated))):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)  # customers run in the same event loop
            while not reader.at_eof():
                await reader.read(_MIB)


async def _send_slow_head(name: str, port: int) -> None:
    """Send one byte per second until the server closes the connection. Raises AssertionError if it does not."""
    with suppress(ConnectionError):
        async with _connection(name, port) as (reader, writer):
            writer.write(_HEAD_START + b"X-Slow: ")
            while not reader.at_eof():
                writer.write(b"a")
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await reader.read(_MIB)


async def _send_pings(port: int) -> None:
    """Open a WebSocket, send pings without a hello, and read pongs only after all pings."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
    start = f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n\r\n".encode()
    await _flood("notifications", port, start, _PINGS)


@asynccontextmanager
async def _idle_uploads(scene: Scene) -> AsyncIterator[None]:
    """Hold requests of one account that place orders but send only the first byte of their body."""
    customer, *_ = scene.workload.customers
    guest = await customer.register_guest()
    async with open_client(scene.gateway, retry_policy=NO_RETRIES, timeout_s=TIMEOUT_S) as client:
        token = (await client.call(api.log_in(email=guest.key, password=PASSWORD)))["access_token"]
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
            if number % _UPLOAD_BATCH == 0:  # so that the customers' requests do not wait for all rejections
                await scene.workload.progress(1)
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def _connection(name: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection for the block, which must end within TIMEOUT_S. Raises AssertionError if it does not."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(_ADDRESS, 0))
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise AssertionError(f"{name} did not close a connection within {TIMEOUT_S:g} s") from None


@asynccontextmanager
async def bounded_memory(processes: Processes) -> AsyncIterator[None]:
    """Raise AssertionError if the memory of a service's largest process grows too much within the block.

    Errors of supervisord propagate, because without a measurement the limit would not be checked. A process that has
    just ended counts as 0.
    """
    before = {name: processes.memory_bytes(name) for name in SERVERS}
    peak = dict(before)

    async def watch() -> None:
        while True:
            for name in SERVERS:
                peak[name] = max(peak[name], processes.memory_bytes(name))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    if not watching.cancelled():
        watching.result()
    grown = {name: peak[name] - before[name] for name in SERVERS}
    assert max(grown.values()) <= MAX_GROWTH_BYTES, f"memory of processes grew by bytes: {grown}"
