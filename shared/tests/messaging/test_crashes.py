"""Relay and consumer in separate processes that crash or freeze at critical points."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.faults.crash_points import CRASHED
from shared.messaging import publish
from testkit.sample_service import EffectHandler, SampleService, sample_event
from testkit.waiting import eventually

from .conditions import has_acknowledged_up_to, is_outbox_appended


@asynccontextmanager
async def run_process(
    sample: SampleService, role: str, *, crash_at: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `role` in a separate process, which is killed at the end of the block."""
    environment = {
        "DATABASE_URL": sample.database_url,
        "REDIS_URL": sample.redis_url,
        "CRASH_AT": crash_at,
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "testkit.sample_service", role, env=os.environ | environment
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


class TestRelay:
    async def test_events_are_appended_once_when_the_relay_crashes_after_appending(self, sample: SampleService) -> None:
        async with sample.sessions() as session, session.begin():
            for n in range(3):
                await publish(session, sample_event(n))
        async with run_process(sample, "relay", crash_at="relay.after_append") as relay:
            assert await relay.wait() == CRASHED
        await sample.publish(3)
        async with sample.relay():
            await eventually(lambda: is_outbox_appended(sample, 4))

    async def test_stream_equals_the_outbox_when_a_frozen_leader_resumes(self, sample: SampleService) -> None:
        async with run_process(sample, "relay") as frozen:
            await sample.publish(1)
            await eventually(lambda: is_outbox_appended(sample, 1))
            frozen.send_signal(signal.SIGSTOP)
            async with sample.relay(poll_s=0.1):
                await sample.publish(2, 3)
                await eventually(lambda: is_outbox_appended(sample, 3))
                frozen.send_signal(signal.SIGCONT)
                await sample.publish(4)
                await eventually(lambda: is_outbox_appended(sample, 4))


class TestConsumer:
    @pytest.mark.parametrize("redis_is_flushed", [False, True])
    async def test_event_is_applied_once_when_the_consumer_crashes_after_the_commit(
        self, sample: SampleService, redis_is_flushed: bool
    ) -> None:
        await sample.publish(1, 2)
        async with sample.relay(poll_s=0.05):
            async with run_process(sample, "consumer", crash_at="consumer.after_commit") as consumer:
                assert await consumer.wait() == CRASHED
            assert await sample.effects() == [1]
            assert await sample.pending() == 2
            if redis_is_flushed:
                await sample.redis.flushdb()
            async with sample.consumer(EffectHandler(), claim_idle_s=0.1):
                await eventually(lambda: has_acknowledged_up_to(sample, b"2-0"))
        assert await sample.effects() == [1, 2]
