"""Dead letters that are tried again: each once, whoever is at it, and without a second effect."""

import asyncio
import contextlib

from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import CloudEvent, Poison, dead_letters, request_replay
from testkit.things import Things, Watcher, made
from testkit.waiting import eventually

from .observed import a_processor, are_dead, forget_acknowledgements, settled


class TestReplay:
    async def test_applies_the_event_once(self, things: Things) -> None:
        watcher = Watcher(failures={1: 1}, error=Poison)
        await things.send(1, 2)
        async with things.consumer(watcher):
            await eventually(lambda: settled(things, 2))
            async with things.sessions() as session, session.begin():
                assert await request_replay(session) == 1
            await eventually(lambda: settled(things, 2, 1))
            await eventually(lambda: are_dead(things, 0))
            await forget_acknowledgements(things)
            await things.send(3)
            await eventually(lambda: settled(things, 2, 1, 3))
        assert watcher.calls == [1, 2, 1, 3]

    async def test_failing_again_keeps_the_letter(self, things: Things) -> None:
        watcher = Watcher(failures={1: None}, error=Poison)
        await things.send(1)
        async with things.consumer(watcher):
            await eventually(lambda: are_dead(things, 1))
            async with things.sessions() as session, session.begin():
                await request_replay(session)

            async def tried_again() -> bool:
                async with things.sessions() as session:
                    (letter,) = await dead_letters(session)
                return letter.attempts == 2 and letter.replay_requested_at is None

            await eventually(tried_again)
        assert await things.effects() == []

    async def test_two_processes_at_the_same_letter(self, things: Things) -> None:
        both = asyncio.Barrier(2)

        class Together(Watcher):
            async def __call__(self, session: AsyncSession, event: CloudEvent) -> None:
                with contextlib.suppress(TimeoutError):  # where only one comes, as it must, it goes on alone
                    async with asyncio.timeout(0.3):
                        await both.wait()
                await super().__call__(session, event)

        watcher = Together()
        first, second = a_processor(things, watcher), a_processor(things, watcher)
        await first.bury("1-0", made(1).encode(), None, error="", attempts=1)
        async with things.sessions() as session, session.begin():
            await request_replay(session)
        await asyncio.gather(first.replay_requested(), second.replay_requested())
        assert await things.effects() == [1]

    async def test_replayed_event_that_comes_again_has_no_second_effect(self, things: Things) -> None:
        """Such as one that was unreadable to an older version of the service."""
        processor, event = a_processor(things, Watcher()), made(1)
        await processor.bury("1-0", event.encode(), None, error="", attempts=1)
        async with things.sessions() as session, session.begin():
            await request_replay(session)
        await processor.replay_requested()
        await processor.apply(event, redelivered=True)
        assert await things.effects() == [1]

    async def test_only_the_chosen(self, things: Things) -> None:
        watcher = Watcher(failures={1: 1, 2: 1}, error=Poison)
        await things.send(1, 2)
        async with things.consumer(watcher):
            await eventually(lambda: are_dead(things, 2))
            async with things.sessions() as session, session.begin():
                chosen = (await dead_letters(session))[1]
                assert await request_replay(session, ids=[chosen.id]) == 1
            await eventually(lambda: settled(things, 2))
        assert await are_dead(things, 1)
