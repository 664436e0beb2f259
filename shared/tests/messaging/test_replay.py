"""The event of a replayed dead letter is applied once, also with two processes or a redelivery."""

import asyncio
import contextlib

from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging import CloudEvent, PoisonEventError, list_dead_letters, request_replay
from testkit.sample_service import EffectHandler, SampleService, sample_event
from testkit.waiting import eventually

from .conditions import create_processor, has_applied, has_dead_letters, redeliver_all


class TestReplay:
    async def test_event_is_applied_once_when_its_dead_letter_is_replayed(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: 1}, error=PoisonEventError)
        await sample.send(1, 2)
        async with sample.consumer(handler):
            await eventually(lambda: has_applied(sample, 2))
            async with sample.sessions() as session, session.begin():
                assert await request_replay(session) == 1
            await eventually(lambda: has_applied(sample, 2, 1))
            await eventually(lambda: has_dead_letters(sample, 0))
            await redeliver_all(sample)
            await sample.send(3)
            await eventually(lambda: has_applied(sample, 2, 1, 3))
        assert handler.calls == [1, 2, 1, 3]

    async def test_dead_letter_stays_open_when_the_replay_fails(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: None}, error=PoisonEventError)
        await sample.send(1)
        async with sample.consumer(handler):
            await eventually(lambda: has_dead_letters(sample, 1))
            async with sample.sessions() as session, session.begin():
                await request_replay(session)

            async def has_failed_again() -> bool:
                async with sample.sessions() as session:
                    (dead_letter,) = await list_dead_letters(session)
                return dead_letter.attempts == 2 and dead_letter.replay_requested_at is None

            await eventually(has_failed_again)
        assert await sample.effects() == []

    async def test_event_is_applied_once_when_two_processes_replay_it(self, sample: SampleService) -> None:
        both_processes = asyncio.Barrier(2)

        class SynchronizedHandler(EffectHandler):
            """Gives the other process time to call the handler too. Because it must not, the barrier times out."""

            async def __call__(self, session: AsyncSession, event: CloudEvent) -> None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await both_processes.wait()
                await super().__call__(session, event)

        handler = SynchronizedHandler()
        first, second = create_processor(sample, handler), create_processor(sample, handler)
        await first.dead_letter("1-0", sample_event(1).encode(), None, error="", attempts=1)
        async with sample.sessions() as session, session.begin():
            await request_replay(session)
        await asyncio.gather(first.replay_dead_letters(), second.replay_dead_letters())
        assert await sample.effects() == [1]

    async def test_event_is_applied_once_when_it_is_delivered_after_its_replay(self, sample: SampleService) -> None:
        """An older version of the service may have stored the event as invalid."""
        processor, event = create_processor(sample, EffectHandler()), sample_event(1)
        await processor.dead_letter("1-0", event.encode(), None, error="", attempts=1)
        async with sample.sessions() as session, session.begin():
            await request_replay(session)
        await processor.replay_dead_letters()
        await processor.apply(event, redelivered=True)
        assert await sample.effects() == [1]

    async def test_only_requested_dead_letters_are_replayed(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: 1, 2: 1}, error=PoisonEventError)
        await sample.send(1, 2)
        async with sample.consumer(handler):
            await eventually(lambda: has_dead_letters(sample, 2))
            async with sample.sessions() as session, session.begin():
                chosen = (await list_dead_letters(session))[1]
                assert await request_replay(session, ids=[chosen.id]) == 1
            await eventually(lambda: has_applied(sample, 2))
        assert await has_dead_letters(sample, 1)
