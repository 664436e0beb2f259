"""What may be forgotten: only what every group has acknowledged for long enough, and never ahead of the outboxes."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from shared.events import acknowledged, events_since, outbox_stats, prune_inbox, prune_outbox, stream_stats
from shared.events.floor import MARK
from testkit.things import GROUP, INBOX, STREAM, Things, Watcher
from testkit.waiting import eventually

NOT_KEPT = timedelta(0)
A_WEEK = timedelta(days=7)


async def prune(things: Things, *, kept: timedelta = NOT_KEPT, limit: int = 100) -> int:
    """One call of the clean-up, as the service makes it."""
    done = await acknowledged(things.redis, STREAM, groups=[GROUP])
    async with things.sessions() as session, session.begin():
        return await prune_outbox(session, acknowledged=done, kept=kept, limit=limit)


async def consumed(things: Things, *numbers: int) -> None:
    """Publish these and wait until their effects are there and acknowledged."""
    before = len(await things.effects())
    async with things.relay(poll_s=0.05), things.consumer(Watcher()):
        await things.publish(*numbers)
        await eventually(lambda: is_consumed(things, before + len(numbers)))


async def is_consumed(things: Things, count: int) -> bool:
    return len(await things.effects()) == count and await things.pending() == 0


class TestPruneOutbox:
    async def test_removes_the_oldest_a_batch_at_a_time(self, things: Things) -> None:
        await consumed(things, 1, 2, 3)
        assert [await prune(things, limit=2) for _ in range(3)] == [2, 1, 0]
        assert await things.outbox() == []

    async def test_keeps_what_some_group_has_not_acknowledged(self, things: Things) -> None:
        await consumed(things, 1, 2)
        async with things.relay(poll_s=0.05):
            await things.publish(3)
            await eventually(lambda: is_shipped(things, 3))
        await things.redis.xreadgroup(GROUP, "hesitant", {STREAM: ">"})
        assert await prune(things) == 2
        assert await things.outbox() == [("3-0", 3)]

    async def test_keeps_all_while_a_group_is_missing(self, things: Things) -> None:
        await consumed(things, 1)
        await things.redis.xgroup_destroy(STREAM, GROUP)
        assert await prune(things) == 0

    async def test_keeps_what_was_acknowledged_only_lately(self, things: Things) -> None:
        await consumed(things, 1, 2)
        assert await prune(things, kept=A_WEEK) == 0
        await days_pass(things, 8)
        await consumed(things, 3)
        assert await prune(things, kept=A_WEEK) == 2
        assert await things.outbox() == [("3-0", 3)]

    async def test_what_is_marked_and_not_acknowledged_any_more_stays(self, things: Things) -> None:
        """Redis was flushed and is being filled again."""
        await consumed(things, 1, 2)
        await prune(things, kept=A_WEEK)
        await days_pass(things, 8)
        await things.redis.flushdb()
        assert await prune(things, kept=A_WEEK) == 0

    async def test_marks_do_not_pile_up(self, things: Things) -> None:
        for n in (1, 2, 3):
            await consumed(things, n)
            await prune(things)
        async with things.sessions() as session:
            assert len((await session.scalars(sa.select(MARK.c.seq))).all()) == 1


async def days_pass(things: Things, days: int) -> None:
    async with things.sessions() as session, session.begin():
        await session.execute(sa.update(MARK).values(noted_at=MARK.c.noted_at - timedelta(days=days)))


async def is_shipped(things: Things, count: int) -> bool:
    return len(await things.stream()) == count


class TestFlushAfterwards:
    async def test_stream_begins_at_the_floor_and_nothing_comes_twice(self, things: Things) -> None:
        await consumed(things, 1, 2, 3)
        await prune(things, limit=2)
        await things.redis.flushdb()
        await consumed(things, 4)
        assert await things.effects() == [1, 2, 3, 4]
        assert await things.stream() == [("3-0", 3), ("4-0", 4)]

    async def test_numbers_go_on_where_nothing_is_left(self, things: Things) -> None:
        await consumed(things, 1, 2)
        await prune(things)
        await things.redis.flushdb()
        await consumed(things, 3)
        assert await things.outbox() == [("3-0", 3)]

    async def test_stats_count_from_the_floor(self, things: Things) -> None:
        await consumed(things, 1, 2)
        await prune(things)
        async with things.sessions() as session:
            assert (await outbox_stats(session)).sealed == 2
        await things.redis.flushdb()
        await things.publish(3)
        async with things.relay(poll_s=0.05):
            await eventually(lambda: is_shipped(things, 1))
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        (group,) = (await stream_stats(things.redis, STREAM)).groups
        assert group.lag == 1


class TestInbox:
    async def test_follows_the_outbox(self, things: Things) -> None:
        await consumed(things, 1, 2)
        await prune(things)
        await consumed(things, 3)
        async with things.sessions() as session, session.begin():
            since = await events_since(session)
            assert [await prune_inbox(session, before=since, limit=limit) for limit in (1, 9)] == [1, 1]
            kept = len((await session.scalars(sa.select(INBOX.c.event_id))).all())
        assert kept == 1

    async def test_empty_outbox_can_ship_nothing_again(self, things: Things) -> None:
        async with things.sessions() as session:
            since = await events_since(session)
        assert abs(since - datetime.now(UTC)) < timedelta(minutes=1)
