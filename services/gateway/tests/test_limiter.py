"""The limiter counts requests in shared round trips to Redis, and in the process while Redis is unavailable."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from services.gateway.tests.fakes import hanging_server, unreachable_url
from structlog.testing import capture_logs

from gateway.limits.buckets import MAX_BATCH, LocalBuckets, SharedBuckets, TakeResult
from gateway.limits.limiter import RETRY_AFTER_S, Limiter, open_limiter
from gateway.limits.quota import Hit, Quota
from gateway.limits.rules import create_rules
from gateway.settings import Settings
from testkit.rejections import REDIS_REJECTIONS, rejecting_writes
from testkit.servers import StartValkey
from testkit.waiting import TIMEOUT_S, eventually


class GatedRedis(Redis):
    """Runs scripts only after `released` is set. `called` is set when the first script is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.called, self.released = asyncio.Event(), asyncio.Event()

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        if command[0] == "EVALSHA":
            self.called.set()
            await self.released.wait()
        return await super().execute_command(*command, **options)  # type: ignore[no-untyped-call]


class BrokenRedis(Redis):
    """Raises an error that redis-py never raises."""

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        raise LookupError


class FailingBuckets(SharedBuckets):
    """The first call succeeds after `first_result` is set. All others fail, as if Redis rejected the connection."""

    def __init__(self) -> None:
        self.calls = 0
        self.first_result = asyncio.Event()

    async def take(self, hits: Sequence[Hit]) -> TakeResult:
        self.calls += 1
        if self.calls > 1:
            raise RedisConnectionError
        await self.first_result.wait()
        return True, [0 for _ in hits]


class RecoveringBuckets(SharedBuckets):
    """The first call fails, and all others succeed. `calls` counts them."""

    def __init__(self) -> None:
        self.calls = 0

    async def take(self, hits: Sequence[Hit]) -> TakeResult:
        self.calls += 1
        if self.calls == 1:
            raise RedisConnectionError
        return True, [0 for _ in hits]


class HangingBuckets(SharedBuckets):
    """Calls never return. `calls` counts them."""

    def __init__(self) -> None:
        self.calls = 0

    async def take(self, hits: Sequence[Hit]) -> TakeResult:
        self.calls += 1
        await asyncio.Event().wait()
        return await super().take(hits)


async def hit_three_times(limiter: Limiter, hits: list[Hit]) -> list[bool]:
    """Return whether each of three requests was granted."""
    return [(await limiter.hit(hits)).retry_after_s is None for _ in range(3)]


def create_limiter(
    shared: SharedBuckets, *, timeout_s: float = TIMEOUT_S, retry_after_s: float = RETRY_AFTER_S
) -> Limiter:
    local = LocalBuckets(clock=time.monotonic)
    return Limiter(shared=shared, local=local, timeout_s=timeout_s, retry_after_s=retry_after_s)


class TestSharedRoundTrips:
    async def test_concurrent_requests_share_a_round_trip(self, start_valkey: StartValkey) -> None:
        """Uses a separate server, because command statistics cover all databases of a server."""
        limit, requests = 15, 20
        by_user = Hit(quota=Quota(name="user", requests=limit), subject="ann")
        by_address = Hit(quota=Quota(name="address", requests=100), subject="203.0.113.1")
        async with Redis.from_url(start_valkey().url) as redis:
            buckets = SharedBuckets(redis=redis)
            await buckets.take([Hit(quota=by_user.quota, subject="bob")])  # loads the script
            await redis.config_resetstat()
            taken = await asyncio.gather(*(buckets.take([by_address, by_user]) for _ in range(requests)))
            statistics = await redis.info("commandstats")
        assert statistics["cmdstat_evalsha"]["calls"] == 1
        rejected = requests - limit
        assert [granted for granted, _ in taken] == [True] * limit + [False] * rejected
        counted = [round(held_by_user / by_user.quota.interval_us) for _, (_, held_by_user) in taken]
        assert counted == [*range(1, limit + 1)] + [limit] * rejected

    async def test_round_trips_are_limited_in_size_when_many_requests_wait(self, start_valkey: StartValkey) -> None:
        hit = Hit(quota=Quota(name="user", requests=1_000), subject="ann")
        async with Redis.from_url(start_valkey().url) as redis:
            buckets = SharedBuckets(redis=redis)
            await buckets.take([hit])  # loads the script
            await redis.config_resetstat()
            await asyncio.gather(*(buckets.take([hit]) for _ in range(2 * MAX_BATCH + 1)))
            statistics = await redis.info("commandstats")
        assert statistics["cmdstat_evalsha"]["calls"] == 3

    async def test_request_is_not_counted_when_it_was_cancelled(self, redis_url: str) -> None:
        quota = Quota(name="user", requests=15)
        async with GatedRedis.from_url(redis_url) as redis:
            buckets = SharedBuckets(redis=redis)
            first = asyncio.create_task(buckets.take([Hit(quota=quota, subject="ann")]))
            await redis.called.wait()
            cancelled, pending = (
                asyncio.create_task(buckets.take([Hit(quota=quota, subject="bob")])) for _ in range(2)
            )
            await asyncio.sleep(0)  # both tasks join the next round trip
            cancelled.cancel()
            redis.released.set()
            taken = [await first, await pending]
        assert [round(held[0] / quota.interval_us) for _, held in taken] == [1, 1], "one counted request for each"


class TestRedisOutage:
    async def test_one_request_probes_redis_after_an_outage(self) -> None:
        buckets = HangingBuckets()
        limiter = create_limiter(buckets, timeout_s=0.05)
        hits = [Hit(quota=Quota(name="user", requests=1_000_000), subject="ann")]

        async def redis_was_called_again() -> bool:
            await asyncio.gather(*(limiter.hit(hits) for _ in range(10)))
            return buckets.calls > 1

        await limiter.hit(hits)
        await eventually(redis_was_called_again)
        assert buckets.calls == 2

    async def test_every_request_is_counted_in_redis_when_the_probe_succeeded(self) -> None:
        buckets = RecoveringBuckets()
        limiter = create_limiter(buckets, retry_after_s=0.5)
        hits = [Hit(quota=Quota(name="user", requests=1_000_000), subject="ann")]

        async def probe_has_succeeded() -> bool:
            await limiter.hit(hits)
            return buckets.calls > 1

        await limiter.hit(hits)
        await eventually(probe_has_succeeded)
        for _ in range(10):
            await limiter.hit(hits)
        assert buckets.calls == 12

    @pytest.mark.parametrize("rejection", REDIS_REJECTIONS)
    async def test_limits_are_local_when_redis_rejects_writes(self, start_valkey: StartValkey, rejection: str) -> None:
        valkey = start_valkey()
        hits = [Hit(quota=Quota(name="user", requests=2), subject="ann")]
        async with Redis.from_url(valkey.url) as redis, rejecting_writes(valkey.url, rejection):
            limiter = create_limiter(SharedBuckets(redis=redis))
            with capture_logs() as logs:
                assert await hit_three_times(limiter, hits) == [True, True, False]
        record = logs[0]
        assert (record["event"], record["log_level"], record["exc_info"]) == ("rate_limits_are_local", "warning", False)

    async def test_limits_are_local_and_an_error_is_logged_when_redis_rejects_the_command(
        self, start_valkey: StartValkey
    ) -> None:
        hits = [Hit(quota=Quota(name="user", requests=2), subject="ann")]
        async with Redis.from_url(start_valkey().url) as redis:
            await redis.rpush(hits[0].key, "not a bucket")
            limiter = create_limiter(SharedBuckets(redis=redis))
            with capture_logs() as logs:
                assert await hit_three_times(limiter, hits) == [True, True, False]
        record = logs[0]
        assert (record["event"], record["log_level"], record["exc_info"]) == ("rate_limits_are_local", "error", True)
        assert "WRONGTYPE" in record["error"]

    async def test_error_propagates_to_all_requests_of_the_round_trip_when_it_does_not_come_from_redis(
        self, redis_url: str
    ) -> None:
        async with BrokenRedis.from_url(redis_url) as redis:
            limiter = create_limiter(SharedBuckets(redis=redis))
            hits = [Hit(quota=Quota(name="user", requests=2), subject="ann")]
            failures = await asyncio.gather(*(limiter.hit(hits) for _ in range(3)), return_exceptions=True)
        assert [type(failure) for failure in failures] == [LookupError] * 3

    async def test_limits_stay_local_when_an_earlier_call_succeeds_after_the_failure(self) -> None:
        buckets = FailingBuckets()
        limiter = create_limiter(buckets, timeout_s=60, retry_after_s=600)
        hits = [Hit(quota=Quota(name="user", requests=10), subject="ann")]
        first = asyncio.create_task(limiter.hit(hits))
        await eventually(lambda: buckets.calls == 1)
        await limiter.hit(hits)
        buckets.first_result.set()
        await first
        await limiter.hit(hits)
        assert buckets.calls == 2

    async def test_redis_is_not_called_for_a_while_when_it_hangs(self) -> None:
        urls = dict.fromkeys(("users_url", "orders_url", "notifications_url", "jwks_url"), unreachable_url())
        async with hanging_server() as redis:
            limits = {"rate_limit_timeout_seconds": 0.2, "rate_limit_user": 2}
            settings = Settings.model_validate({**urls, "redis_url": f"redis://{redis.address}", **limits})
            hits = [Hit(quota=create_rules(settings).user, subject="ann")]
            async with open_limiter(settings, retry_after_s=600) as limiter:
                assert await hit_three_times(limiter, hits) == [True, True, False]
        assert len(redis.connections) == 1
