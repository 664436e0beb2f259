"""The responses of a service whose Redis responds but cannot serve, and its recovery without a restart."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvloop
from fastapi import APIRouter, FastAPI, Request
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.config import RedisSettings, ServiceSettings
from shared.db.redis import check_writable, create_redis, open_redis
from shared.errors.stores import redis_is_unavailable
from shared.web.app import build_app
from testkit.apps import http_client, serve
from testkit.certificates import create_server_context
from testkit.rejections import REDIS_REJECTIONS, rejecting_writes
from testkit.route import open_route
from testkit.servers import StartValkey, ValkeyServer
from testkit.waiting import eventually

from .rows_service import assert_unavailable


class KeySettings(RedisSettings, ServiceSettings):
    drain_seconds: float = 0


keys = APIRouter()


@keys.post("/keys/{key}")
async def set_key(key: str, request: Request) -> None:
    await request.app.state.redis.set(key, "1")


@keys.post("/keys/{key}/by-pipeline")
async def set_key_by_pipeline(key: str, request: Request) -> None:
    async with request.app.state.redis.pipeline(transaction=True) as pipeline:
        pipeline.set(key, "1")
        pipeline.expire(key, 60)
        await pipeline.execute()


@keys.post("/keys/{key}/by-script")
async def set_key_by_script(key: str, request: Request) -> None:
    await request.app.state.redis.register_script("return redis.call('SET', KEYS[1], '1')")(keys=[key])


@asynccontextmanager
async def open_keys(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open a service that writes to Redis."""
    settings = KeySettings.model_validate({"redis_url": redis_url})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_redis(settings) as redis:
            app.state.redis = redis
            app.state.health.add("redis", partial(check_writable, redis), critical=False)
            yield

    app = build_app(name="keys", settings=settings, lifespan=lifespan, routers=[keys], summary="for tests")
    async with serve(app) as url, http_client(url) as client:
        yield client


async def write_after_reset(scheme: str, folder: Path) -> Exception:
    """Return the exception of a Redis client that sends a command after the server has reset the connection."""
    accepted = list[asyncio.StreamWriter]()

    async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        with suppress(ConnectionError):
            while commands := await reader.read(65536):  # redis-py sends some when it connects
                writer.write(b"+PONG\r\n" * commands.count(b"*"))

    async with AsyncExitStack() as stack:
        if scheme == "unix":
            url = f"unix://{folder}/redis.sock"
            server = await asyncio.start_unix_server(serve_client, folder / "redis.sock")
        else:
            tls = create_server_context(folder / "server.pem") if scheme == "rediss" else None
            server = await asyncio.start_server(serve_client, "127.0.0.1", 0, ssl=tls)
            url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        await stack.enter_async_context(server)
        redis = await stack.enter_async_context(
            create_redis(url + ("?ssl_cert_reqs=none" if scheme == "rediss" else ""), retries=0)
        )
        connection = await redis.connection_pool.get_connection()
        stack.push_async_callback(redis.connection_pool.release, connection)
        [writer] = accepted
        if scheme == "unix":  # the kernel resets a socket with unread input when it is closed
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport of a StreamWriter also reads
            await connection.send_command("PING", check_health=False)
        else:
            no_linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        writer.transport.abort()
        for _ in range(100):  # iterations of the event loop, in which the client's side reads the reset
            await asyncio.sleep(0)
        try:
            await connection.send_command("PING", check_health=False)
        except (RuntimeError, RedisError) as error:
            return error
    raise AssertionError("the command was sent")


class TestRedisOutages:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.mark.parametrize("rejection", REDIS_REJECTIONS)
    async def test_writes_get_503_and_readiness_is_degraded_while_redis_rejects_writes(
        self, valkey: ValkeyServer, rejection: str
    ) -> None:
        paths = ["/keys/a", "/keys/a/by-pipeline", "/keys/a/by-script"]
        async with open_keys(valkey.url) as client:
            async with rejecting_writes(valkey.url, rejection):
                for path in paths:
                    assert_unavailable(await client.post(path))
                readiness = (await client.get("/health/ready")).json()
                assert (readiness["status"], readiness["dependencies"]["redis"]["status"]) == ("degraded", "down")
            assert {(await client.post(path)).status_code for path in paths} == {200}
            assert (await client.get("/health/ready")).json()["status"] == "ready"

    async def test_write_succeeds_on_the_new_primary_after_a_failover(self, start_valkey: StartValkey) -> None:
        old, new = start_valkey(), start_valkey()
        async with open_route(old.port) as route, open_keys(f"redis://127.0.0.1:{route.port}/0") as client:
            assert (await client.post("/keys/a")).status_code == 200
            route.target_port = new.port
            async with rejecting_writes(old.url, "replica"):
                assert (await client.post("/keys/b")).status_code == 200
            async with Redis.from_url(new.url) as redis:
                assert await redis.get("b") == b"1"

    @pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
    def test_redis_is_unavailable_when_the_server_resets_the_connection_on_uvloop(
        self, scheme: str, tmp_path: Path
    ) -> None:
        """The services run on uvloop, which raises RuntimeError for a write after a reset."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure = runner.run(write_after_reset(scheme, tmp_path))
        assert redis_is_unavailable(failure)

    async def test_redis_is_unavailable_while_a_script_runs_too_long(self, valkey: ValkeyServer) -> None:
        async with Redis.from_url(valkey.url) as redis, Redis.from_url(valkey.url) as other:
            await redis.config_set("busy-reply-threshold", 1)  # milliseconds
            running_script = asyncio.create_task(redis.eval("while true do end", 0))

            async def is_busy() -> bool:
                try:
                    await other.get("a")
                except ResponseError as busy:
                    return redis_is_unavailable(busy)
                return False

            await eventually(is_busy)
            await other.script_kill()
            with pytest.raises(ResponseError) as killed:
                await running_script
            assert not redis_is_unavailable(killed.value)

    @pytest.mark.parametrize(
        ("message", "unavailable"),
        [
            ("MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk", True),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", True),
            ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", True),
            ("CLUSTERDOWN The cluster is down", True),
            ("Command # 1 (SET a 1) of pipeline caused error: ('NOREPLICAS Not enough good replicas.',)", True),
            ("BUSYGROUP Consumer Group name already exists", False),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
            ("unknown command 'READONLY '", False),
        ],
    )
    def test_error_code_decides_whether_redis_is_unavailable(self, message: str, *, unavailable: bool) -> None:
        assert redis_is_unavailable(ResponseError(message)) is unavailable
