"""Killed at the worst places, in processes of their own: FAULTS rows 2, 3 and 5."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.crash import CRASHED
from shared.events import publish
from testkit.things import Things, Watcher, made
from testkit.waiting import eventually


@asynccontextmanager
async def process(things: Things, role: str, *, crash_at: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """`role` in a process of its own, killed at the end of the block."""
    environment = {"DATABASE_URL": things.database_url, "REDIS_URL": things.redis_url, "CRASH_AT": crash_at}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "testkit.things", role, env=os.environ | environment
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


class TestRelay:
    async def test_killed_between_append_and_bookkeeping(self, things: Things) -> None:
        async with things.sessions() as session, session.begin():
            for n in range(3):
                await publish(session, made(n))
        async with process(things, "relay", crash_at="relay.after_append") as relay:
            assert await relay.wait() == CRASHED
        await things.publish(3)
        async with things.relay():
            await eventually(lambda: shipped(things, 4))

    async def test_frozen_leader_loses_the_lead_and_does_no_harm_when_it_wakes(self, things: Things) -> None:
        async with process(things, "relay") as frozen:
            await things.publish(1)
            await eventually(lambda: shipped(things, 1))
            frozen.send_signal(signal.SIGSTOP)
            async with things.relay(poll_s=0.1):
                await things.publish(2, 3)
                await eventually(lambda: shipped(things, 3))
                frozen.send_signal(signal.SIGCONT)
                await things.publish(4)
                await eventually(lambda: shipped(things, 4))


async def shipped(things: Things, count: int) -> bool:
    stream = await things.stream()
    return len(stream) == count and stream == await things.outbox()


class TestConsumer:
    @pytest.mark.parametrize("redis_forgets", [False, True])
    async def test_killed_between_commit_and_acknowledgement(self, things: Things, redis_forgets: bool) -> None:
        await things.publish(1, 2)
        async with things.relay(poll_s=0.05):
            async with process(things, "consumer", crash_at="consumer.after_commit") as consumer:
                assert await consumer.wait() == CRASHED
            assert await things.effects() == [1]
            assert await things.pending() == 2
            if redis_forgets:
                await things.redis.flushdb()
            async with things.consumer(Watcher(), claim_idle_s=0.1):
                await eventually(lambda: caught_up(things))
        assert await things.effects() == [1, 2]


async def caught_up(things: Things) -> bool:
    if await things.pending():
        return False
    [group] = await things.redis.xinfo_groups("events:things")
    return bool(group["last-delivered-id"] == b"2-0")
