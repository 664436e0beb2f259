"""The consumer on real servers: each event has its effect exactly once, and one that cannot does not stop the rest."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from shared.events import CloudEvent, Poison, dead_letters
from shared.events.consumer import MAX_ATTEMPTS
from testkit.things import GROUP, STREAM, TYPE, Things, Watcher, made
from testkit.waiting import PATIENCE_S, eventually

from .observed import are_dead, forget_acknowledgements, is_effect, settled


class TestExactlyOnce:
    async def test_applies_in_stream_order(self, things: Things) -> None:
        await things.send(3, 1, 2)
        async with things.consumer(Watcher()):
            await eventually(lambda: settled(things, 3, 1, 2))

    async def test_waits_for_what_comes(self, things: Things) -> None:
        async with things.consumer(Watcher()):
            await things.send(1)
            await eventually(lambda: settled(things, 1))
            await things.send(2)
            await eventually(lambda: settled(things, 1, 2))

    async def test_redelivery_has_no_second_effect(self, things: Things) -> None:
        watcher = Watcher()
        await things.send(1, 2)
        async with things.consumer(watcher):
            await eventually(lambda: settled(things, 1, 2))
            await forget_acknowledgements(things)
            await things.send(3)
            await eventually(lambda: settled(things, 1, 2, 3))
        assert watcher.calls == [1, 2, 3]

    async def test_flushed_redis_has_no_second_effect(self, things: Things) -> None:
        async with things.relay(poll_s=0.05), things.consumer(Watcher()):
            await things.publish(1, 2)
            await eventually(lambda: settled(things, 1, 2))
            await things.redis.flushdb()
            await things.publish(3)
            await eventually(lambda: settled(things, 1, 2, 3))

    async def test_lone_new_event_is_not_looked_up_before(self, things: Things) -> None:
        looked: list[str] = []

        @sa.event.listens_for(things.engine.sync_engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if statement.startswith("SELECT inbox"):
                looked.append(statement)

        await things.send(1, 2)
        async with things.consumer(Watcher()):
            await eventually(lambda: settled(things, 1, 2))
            assert len(looked) == 1, "a batch is looked up at once"
            await things.send(3)
            await eventually(lambda: settled(things, 1, 2, 3))
        assert len(looked) == 1

    async def test_two_processes_at_the_same_event(self, things: Things) -> None:
        """The second one blocks on the inbox row until the first commits, then finds it taken."""
        inside, go_on = asyncio.Event(), asyncio.Event()

        class Slow(Watcher):
            async def __call__(self, session: AsyncSession, event: CloudEvent) -> None:
                await super().__call__(session, event)
                inside.set()
                await go_on.wait()

        quick = Watcher()
        await things.send(1)
        async with things.consumer(Slow()):
            await inside.wait()
            async with things.consumer(quick, claim_idle_s=0):
                await eventually(lambda: is_blocked(things), what="the second process to wait for the first")
                go_on.set()
                await eventually(lambda: settled(things, 1))
        assert quick.calls == []

    async def test_types_without_handler_are_passed_over(self, things: Things) -> None:
        await things.redis.xadd(STREAM, {"event": made(1, kind="hopline.thing.sold.v1").encode()}, id="1-0")
        await things.send(2)
        async with things.consumer(Watcher()):
            await eventually(lambda: settled(things, 2))


async def is_blocked(things: Things) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with things.sessions() as session:
        return bool(await session.scalar(sa.text(waiting)))


class TestAfterCommit:
    async def test_runs_once_with_the_effect_visible(self, things: Things) -> None:
        seen: list[list[int]] = []

        async def look() -> None:
            seen.append(await things.effects())

        await things.send(1)
        async with things.consumer(Watcher(after_commit=look)):
            await eventually(lambda: settled(things, 1))
            await forget_acknowledgements(things)
            await things.send(2)
            await eventually(lambda: settled(things, 1, 2))
        assert seen == [[1], [1, 2]]

    async def test_failing_does_not_undo_or_repeat(self, things: Things) -> None:
        async def fail() -> None:
            raise ConnectionError("nobody there")

        watcher = Watcher(after_commit=fail)
        await things.send(1, 2)
        with capture_logs() as lines:
            async with things.consumer(watcher):
                await eventually(lambda: settled(things, 1, 2))
        assert watcher.calls == [1, 2]
        assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["after_commit_failed"] * 2


class TestFailures:
    async def test_retries_and_leaves_no_half_effect(self, things: Things) -> None:
        watcher = Watcher(failures={1: 2})
        await things.send(1, 2)
        async with things.consumer(watcher):
            await eventually(lambda: settled(things, 1, 2))
        assert watcher.calls == [1, 1, 1, 2]

    async def test_hopeless_event_becomes_dead_letter_and_others_go_on(self, things: Things) -> None:
        watcher = Watcher(failures={1: None})
        await things.send(1, 2)
        async with things.consumer(watcher):
            await eventually(lambda: settled(things, 2))
        assert watcher.calls == [1] * MAX_ATTEMPTS + [2]
        async with things.sessions() as session:
            (letter,) = await dead_letters(session)
        assert (letter.entry_id, letter.event_type, letter.attempts) == ("1-0", TYPE, MAX_ATTEMPTS)
        assert letter.error == "ValueError: no thing 1 today"

    async def test_poison_is_not_retried(self, things: Things) -> None:
        watcher = Watcher(failures={1: None}, error=Poison)
        await things.send(1, 2)
        async with things.consumer(watcher):
            await eventually(lambda: settled(things, 2))
        assert watcher.calls == [1, 2]

    @pytest.mark.parametrize("fields", [{"event": "not json"}, {"event": '{"id": 1}'}, {"other": "field"}])
    async def test_unreadable_entry_becomes_dead_letter(self, things: Things, fields: dict[Any, Any]) -> None:
        await things.redis.xadd(STREAM, fields, id="1-0")
        await things.send(2)
        async with things.consumer(Watcher()):
            await eventually(lambda: settled(things, 2))
        async with things.sessions() as session:
            (letter,) = await dead_letters(session)
        assert letter.event_id is None
        assert "CloudEvent" in letter.error

    async def test_dead_letter_that_comes_again_stays_one(self, things: Things) -> None:
        watcher = Watcher(failures={1: None}, error=Poison)
        await things.redis.xadd(STREAM, {"event": "not json"}, id="1-0")
        await things.send(1)
        async with things.consumer(watcher):
            await eventually(lambda: settled(things))
            await eventually(lambda: are_dead(things, 2))
            await forget_acknowledgements(things)
            await things.send(3)
            await eventually(lambda: settled(things, 3))
        assert watcher.calls == [1, 3]
        assert await are_dead(things, 2)


class TestTakingOver:
    async def test_entries_of_a_dead_member(self, things: Things) -> None:
        await things.send(1, 2)
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with things.consumer(Watcher(), claim_idle_s=0.1):
            await eventually(lambda: settled(things, 1, 2))

    async def test_entries_in_work_are_left_alone(self, things: Things) -> None:
        await things.send(1)
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "alive", {STREAM: ">"})
        async with things.consumer(Watcher(), claim_idle_s=60):
            await things.send(2)
            await eventually(lambda: is_effect(things, 2))
        assert await things.effects() == [2]
        assert await things.pending() == 1

    async def test_entry_that_kills_its_consumers_becomes_dead_letter(self, things: Things) -> None:
        watcher = Watcher()
        await things.send(1, 2)
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        for _ in range(3):
            await things.redis.xclaim(STREAM, GROUP, "dead", 0, ["1-0"])
        async with things.consumer(watcher, claim_idle_s=0, max_deliveries=4):
            await eventually(lambda: settled(things, 2))
        assert watcher.calls == [2]
        async with things.sessions() as session:
            (letter,) = await dead_letters(session)
        assert letter.error == "handed out 5 times and never acknowledged"


class TestStopping:
    async def test_finishes_what_is_in_hand(self, things: Things) -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            inside.set()
            await go_on.wait()

        await things.send(1)
        async with things.consumer(Watcher(after_commit=hold)):
            await inside.wait()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert await settled(things, 1)

    async def test_does_not_wait_for_a_silent_stream(self, things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.events.group.BLOCK_MS", int(PATIENCE_S * 10_000))
        async with asyncio.timeout(PATIENCE_S), things.consumer(Watcher()):
            await eventually(lambda: is_listening(things))

    async def test_leaves_what_fails_and_what_follows_to_the_next(self, things: Things) -> None:
        watcher = Watcher(failures={1: None})
        await things.send(1, 2)
        async with asyncio.timeout(PATIENCE_S), things.consumer(watcher):
            await eventually(lambda: watcher.calls)
        assert await things.pending() == 2
        assert await things.effects() == []


async def is_listening(things: Things) -> bool:
    return bool((await things.redis.info("clients"))["blocked_clients"])
