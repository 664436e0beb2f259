"""The limiter counts requests in shared round trips to Redis, and in the process while Redis is unavailable."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from gateway.limits.buckets import LocalBuckets, SharedBuckets, TakeResult
from gateway.limits.limiter import Limiter, open_limiter
from gateway.limits.quota import Hit, Quota
from gateway.limits.rules import create_rules
from gateway.settings import Settings
from testkit.rejections import REDIS_REJECTIONS, rejecting_writes
from testkit.servers import StartValkey
from testkit.waiting import TIMEOUT_S, eventually


class GatedRedis(Redis):
    """Runs scripts only after `opened` is set. `calls` is set when the first script is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls, self.opened = asyncio.Event(), asyncio.Event()

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        if command[0] == "EVALSHA":
            self.calls.set()
            await self.opened.wait()
        return await super().execute_command(*command, **options)  # type: ignore[no-untyped-call]


class BrokenRedis(Redis):
    """Raises an error that redis-py never raises."""

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        raise LookupError


class TestSharedRoundTrips:
    async def test_concurrent_requests_share_a_round_trip(self, start_valkey: StartValkey) -> None:
        """Uses a separate server, because command statistics cover all databases of a server."""
        quota = Quota(name="user", requests=15)
        async with Redis.from_url(start_valkey().url) as redis:
            buckets = SharedBuckets(redis=redis)
            await buckets.take([Hit(quota=quota, subject="bob")])
            await redis.config_resetstat()
            both = [Hit(quota=Quota(name="address", requests=100), subject="a"), Hit(quota=quota, subject="ann")]
            taken = await asyncio.gather(*(buckets.take(both) for _ in range(20)))
            calls = await redis.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 1
        assert [granted for granted, _ in taken] == [True] * 15 + [False] * 5
        assert [round(held[1] / quota.interval_us) for _, held in taken] == [*range(1, 16)] + [15] * 5
        assert all(len(held) == len(both) for _, held in taken)

    async def test_request_is_not_counted_when_it_was_cancelled(self, redis_url: str) -> None:
        quota = Quota(name="user", requests=15)
        async with GatedRedis.from_url(redis_url) as redis:
            buckets = SharedBuckets(redis=redis)
            first = asyncio.create_task(buckets.take([Hit(quota=quota, subject="ann")]))
            await redis.calls.wait()
            cancelled, pending = (asyncio.create_task(buckets.take([Hit(quota=quota, subject="bob")])) for _ in "12")
            await asyncio.sleep(0)
            cancelled.cancel()
            redis.opened.set()
            taken = [await first, await pending]
        assert [round(held[0] / quota.interval_us) for _, held in taken] == [1, 1]


class TestRedisOutage:
    async def test_one_request_probes_redis_after_an_outage(self) -> None:
        buckets = HangingBuckets()
        limiter = Limiter(shared=buckets, local=LocalBuckets(clock=time.monotonic), timeout_s=0.05)
        quota = Quota(name="user", requests=10**6)

        async def probed_again() -> bool:
            await asyncio.gather(*(limiter.hit([Hit(quota=quota, subject="ann")]) for _ in range(10)))
            return buckets.calls > 1

        await limiter.hit([Hit(quota=quota, subject="ann")])
        await eventually(probed_again)
        assert buckets.calls == 2

    @pytest.mark.parametrize("error_message", REDIS_REJECTIONS)
    async def test_limits_are_local_when_redis_rejects_writes(
        self, start_valkey: StartValkey, error_message: str
    ) -> None:
        valkey = start_valkey()
        hits = [Hit(quota=Quota(name="user", requests=2), subject="ann")]
        async with Redis.from_url(valkey.url) as redis, rejecting_writes(valkey.url, error_message):
            limiter = Limiter(
                shared=SharedBuckets(redis=redis), local=LocalBuckets(clock=time.monotonic), timeout_s=TIMEOUT_S
            )
            with capture_logs() as logs:
                assert [(await limiter.hit(hits)).allowed for _ in range(3)] == [True, True, False]
        local = logs[0]
        assert (local["event"], local["log_level"], local["exc_info"]) == ("rate_limits_are_local", "warning", False)

    async def test_limits_are_local_and_an_error_is_logged_when_redis_rejects_the_command(
        self, start_valkey: StartValkey
    ) -> None:
        hits = [Hit(quota=Quota(name="user", requests=2), subject="ann")]
        async with Redis.from_url(start_valkey().url) as redis:
            await redis.rpush(hits[0].key, "not a bucket")
            limiter = Limiter(
                shared=SharedBuckets(redis=redis), local=LocalBuckets(clock=time.monotonic), timeout_s=TIMEOUT_S
            )
            with capture_logs() as logs:
                assert [(await limiter.hit(hits)).allowed for _ in range(3)] == [True, True, False]
        local = logs[0]
        assert (local["event"], local["log_level"], local["exc_info"]) == ("rate_limits_are_local", "error", True)
        assert "WRONGTYPE" in local["error"]

    async def test_error_propagates_to_all_requests_of_the_trip_when_it_is_not_of_redis(self, redis_url: str) -> None:
        async with BrokenRedis.from_url(redis_url) as redis:
            limiter = Limiter(
                shared=SharedBuckets(redis=redis), local=LocalBuckets(clock=time.monotonic), timeout_s=TIMEOUT_S
            )
            hits = [Hit(quota=Quota(name="user", requests=2), subject="ann")]
            failures = await asyncio.gather(*(limiter.hit(hits) for _ in range(3)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [LookupError] * 3

    async def test_limits_stay_local_when_redis_fails_for_some_requests(self) -> None:
        buckets = FailingBuckets()
        limiter = Limiter(shared=buckets, local=LocalBuckets(clock=time.monotonic), timeout_s=60, retry_after_s=600)
        hits = [Hit(quota=Quota(name="user", requests=10), subject="ann")]
        first = asyncio.create_task(limiter.hit(hits))
        await eventually(lambda: buckets.calls == 1)
        await limiter.hit(hits)
        buckets.first_result.set()
        await first
        await limiter.hit(hits)
        assert buckets.calls == 2

    async def test_redis_is_not_called_for_a_while_when_it_hangs(self) -> None:
        urls = dict.fromkeys(("users_url", "orders_url", "notifications_url", "jwks_url"), "http://localhost")
        async with silent_server() as (address, connections):
            given = {"redis_url": f"redis://{address}", "rate_limit_timeout_seconds": 0.2, "rate_limit_user": 2}
            settings = Settings.model_validate(urls | given)
            hits = [Hit(quota=create_rules(settings).user, subject="ann")]
            async with open_limiter(settings, retry_after_s=600) as limiter:
                assert [(await limiter.hit(hits)).allowed for _ in range(3)] == [True, True, False]
        assert len(connections) == 1


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[object]]]:
    """Accept connections and send no response. Yields the address and the connections."""
    connections: list[object] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", connections


class FailingBuckets(SharedBuckets):
    """The first call succeeds after `first_result` is set. All others fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.first_result = asyncio.Event()

    async def take(self, hits: Sequence[Hit]) -> TakeResult:
        self.calls += 1
        if self.calls > 1:
            raise RedisConnectionError
        await self.first_result.wait()
        return True, [0 for _ in hits]


class HangingBuckets(SharedBuckets):
    """Calls never return. `calls` counts them."""

    def __init__(self) -> None:
        self.calls = 0

    async def take(self, hits: Sequence[Hit]) -> TakeResult:
        self.calls += 1
        await asyncio.Event().wait()
        return await super().take(hits)
