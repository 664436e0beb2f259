"""Where requests are charged: in round trips to Redis that they share, and in the process while Redis is away."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.limits.buckets import LocalBuckets, SharedBuckets, Taken
from gateway.limits.limiter import Limiter
from gateway.limits.quota import Charge, Quota
from testkit.refusals import REDIS_REFUSALS, refusing_writes
from testkit.servers import StartValkey
from testkit.waiting import PATIENCE_S, eventually


class Gated(Redis):
    """Answers a script once it is opened, and says when the first was asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked, self.opened = asyncio.Event(), asyncio.Event()

    async def execute_command(self, *command: Any, **options: Any) -> Any:
        if command[0] == "EVALSHA":
            self.asked.set()
            await self.opened.wait()
        return await super().execute_command(*command, **options)  # type: ignore[no-untyped-call]


class TestSharedRoundTrips:
    async def test_are_those_of_who_comes_together(self, start_valkey: StartValkey) -> None:
        """On a server of its own: it counts for all of its databases together."""
        quota = Quota(name="user", requests=15)
        async with Redis.from_url(start_valkey().url) as redis:
            buckets = SharedBuckets(redis)
            await buckets.take([Charge(quota=quota, whose="bob")])
            await redis.config_resetstat()
            both = [Charge(quota=Quota(name="address", requests=100), whose="a"), Charge(quota=quota, whose="ann")]
            taken = await asyncio.gather(*(buckets.take(both) for _ in range(20)))
            asked = await redis.info("commandstats")
        assert asked["cmdstat_evalsha"]["calls"] == 1
        assert [granted for granted, _ in taken] == [True] * 15 + [False] * 5
        assert [round(held[1] / quota.interval_us) for _, held in taken] == [*range(1, 16)] + [15] * 5
        assert all(len(held) == len(both) for _, held in taken)

    async def test_charge_nobody_who_has_given_up_waiting(self, redis_url: str) -> None:
        quota = Quota(name="user", requests=15)
        async with Gated.from_url(redis_url) as redis:
            buckets = SharedBuckets(redis)
            first = asyncio.create_task(buckets.take([Charge(quota=quota, whose="ann")]))
            await redis.asked.wait()
            given_up, patient = (asyncio.create_task(buckets.take([Charge(quota=quota, whose="bob")])) for _ in "12")
            await asyncio.sleep(0)
            given_up.cancel()
            redis.opened.set()
            taken = [await first, await patient]
        assert [round(held[0] / quota.interval_us) for _, held in taken] == [1, 1]


class TestRedisAway:
    async def test_one_request_finds_out_whether_it_is_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.limits.limiter.PAUSE_S", 0.3)
        buckets = HangingBuckets()
        limiter = Limiter(shared=buckets, local=LocalBuckets(clock=time.monotonic), patience_s=0.05)
        quota = Quota(name="user", requests=10**6)

        async def asked_again() -> bool:
            await asyncio.gather(*(limiter.charge([Charge(quota=quota, whose="ann")]) for _ in range(10)))
            return buckets.asked > 1

        await limiter.charge([Charge(quota=quota, whose="ann")])
        await eventually(asked_again)
        assert buckets.asked == 2

    @pytest.mark.parametrize("refusal", REDIS_REFUSALS)
    async def test_limits_are_local_while_it_refuses_writes(self, start_valkey: StartValkey, refusal: str) -> None:
        valkey = start_valkey()
        charges = [Charge(quota=Quota(name="user", requests=2), whose="ann")]
        async with Redis.from_url(valkey.url) as redis, refusing_writes(valkey.url, refusal):
            limiter = Limiter(
                shared=SharedBuckets(redis), local=LocalBuckets(clock=time.monotonic), patience_s=PATIENCE_S
            )
            assert [(await limiter.charge(charges)).allowed for _ in range(3)] == [True, True, False]

    async def test_one_that_answers_some_is_left_alone_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.limits.limiter.PAUSE_S", 600)
        buckets = FailingBuckets()
        limiter = Limiter(shared=buckets, local=LocalBuckets(clock=time.monotonic), patience_s=60)
        charges = [Charge(quota=Quota(name="user", requests=10), whose="ann")]
        first = asyncio.create_task(limiter.charge(charges))
        await eventually(lambda: buckets.asked == 1)
        await limiter.charge(charges)
        buckets.first_answer.set()
        await first
        await limiter.charge(charges)
        assert buckets.asked == 2


class FailingBuckets(SharedBuckets):
    """Those of a Redis that answers who came first, when it is told to, and nobody else."""

    def __init__(self) -> None:
        self.asked = 0
        self.first_answer = asyncio.Event()

    async def take(self, charges: Sequence[Charge]) -> Taken:
        self.asked += 1
        if self.asked > 1:
            raise RedisConnectionError
        await self.first_answer.wait()
        return True, [0 for _ in charges]


class HangingBuckets(SharedBuckets):
    """Those of a Redis that never answers; counts who waits for it."""

    def __init__(self) -> None:
        self.asked = 0

    async def take(self, charges: Sequence[Charge]) -> Taken:
        self.asked += 1
        await asyncio.Event().wait()
        return await super().take(charges)
