"""The deletion of outbox rows that all groups have acknowledged, and of inbox rows after the outbox rows."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from shared.messaging import (
    events_since,
    get_acknowledged_seq,
    get_stream_stats,
    prune_inbox,
    prune_outbox,
)
from shared.messaging.low_water_mark import ACKNOWLEDGED_MARK
from testkit.sample_service import GROUP, INBOX, STREAM, EffectHandler, SampleService
from testkit.waiting import eventually

from .conditions import has_entries

NO_RETENTION = timedelta(0)
A_WEEK = timedelta(days=7)
MORE_THAN_A_WEEK = timedelta(days=8)


async def prune(sample: SampleService, *, retention: timedelta = NO_RETENTION, limit: int = 100) -> int:
    """Delete one batch of outbox rows as a service does, and return their number."""
    acknowledged = await get_acknowledged_seq(sample.redis, STREAM, groups=[GROUP])
    async with sample.sessions() as session, session.begin():
        return await prune_outbox(session, acknowledged=acknowledged, retention=retention, limit=limit)


async def publish_and_apply(sample: SampleService, *numbers: int) -> None:
    """Publish these events and wait until they are applied and acknowledged."""
    before = len(await sample.effects())
    async with sample.relay(poll_s=0.05), sample.consumer(EffectHandler()):
        await sample.publish(*numbers)
        await eventually(lambda: has_effects(sample, before + len(numbers)))


async def has_effects(sample: SampleService, count: int) -> bool:
    return len(await sample.effects()) == count and await sample.pending() == 0


class TestPruneOutbox:
    async def test_oldest_rows_are_deleted_in_batches(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1, 2, 3)
        assert [await prune(sample, limit=2) for _ in range(3)] == [2, 1, 0]
        assert await sample.outbox() == []

    async def test_rows_stay_when_a_group_has_not_acknowledged_them(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1, 2)
        async with sample.relay(poll_s=0.05):
            await sample.publish(3)
            await eventually(lambda: has_entries(sample, 3))
        await sample.redis.xreadgroup(GROUP, "member", {STREAM: ">"})
        assert await prune(sample) == 2
        assert await sample.outbox() == [("3-0", 3)]

    async def test_rows_stay_when_a_group_is_missing(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1)
        await sample.redis.xgroup_destroy(STREAM, GROUP)
        assert await prune(sample) == 0

    async def test_rows_stay_until_their_retention_ends(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1, 2)
        assert await prune(sample, retention=A_WEEK) == 0
        await move_acknowledged_marks_back(sample, MORE_THAN_A_WEEK)
        await publish_and_apply(sample, 3)
        assert await prune(sample, retention=A_WEEK) == 2
        assert await sample.outbox() == [("3-0", 3)]

    async def test_rows_stay_when_redis_was_flushed(self, sample: SampleService) -> None:
        """After a flush, the acknowledgements are lost until the events are appended again."""
        await publish_and_apply(sample, 1, 2)
        await prune(sample, retention=A_WEEK)
        await move_acknowledged_marks_back(sample, MORE_THAN_A_WEEK)
        await sample.redis.flushdb()
        assert await prune(sample, retention=A_WEEK) == 0

    async def test_only_the_latest_acknowledged_mark_stays(self, sample: SampleService) -> None:
        for n in (1, 2, 3):
            await publish_and_apply(sample, n)
            await prune(sample)
        async with sample.sessions() as session:
            assert len((await session.scalars(sa.select(ACKNOWLEDGED_MARK.c.seq))).all()) == 1


async def move_acknowledged_marks_back(sample: SampleService, age: timedelta) -> None:
    async with sample.sessions() as session, session.begin():
        await session.execute(sa.update(ACKNOWLEDGED_MARK).values(noted_at=ACKNOWLEDGED_MARK.c.noted_at - age))


class TestFlushAfterPrune:
    async def test_stream_begins_at_the_low_water_mark_and_events_are_applied_once(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1, 2, 3)
        await prune(sample, limit=2)
        await sample.redis.flushdb()
        await publish_and_apply(sample, 4)
        assert await sample.effects() == [1, 2, 3, 4]
        assert await sample.stream() == [("3-0", 3), ("4-0", 4)]

    async def test_sequence_continues_when_all_rows_were_deleted(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1, 2)
        await prune(sample)
        await sample.redis.flushdb()
        await publish_and_apply(sample, 3)
        assert await sample.outbox() == [("3-0", 3)]

    async def test_stats_count_from_the_low_water_mark(self, sample: SampleService) -> None:
        await publish_and_apply(sample, 1, 2)
        await prune(sample)
        await sample.redis.flushdb()
        await sample.publish(3)
        async with sample.relay(poll_s=0.05):
            await eventually(lambda: has_entries(sample, 1))
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        (group,) = (await get_stream_stats(sample.redis, STREAM)).groups
        assert group.lag == 1


class TestInbox:
    async def test_inbox_rows_are_deleted_in_batches_when_their_outbox_rows_were_deleted(
        self, sample: SampleService
    ) -> None:
        await publish_and_apply(sample, 1, 2)
        await prune(sample)
        await publish_and_apply(sample, 3)
        async with sample.sessions() as session, session.begin():
            since = await events_since(session)
            assert [await prune_inbox(session, before=since, limit=1) for _ in range(3)] == [1, 1, 0]
            kept = len((await session.scalars(sa.select(INBOX.c.event_id))).all())
        assert kept == 1

    async def test_events_since_is_now_when_the_outbox_is_empty(self, sample: SampleService) -> None:
        async with sample.sessions() as session:
            since = await events_since(session)
        assert abs(since - datetime.now(UTC)) < timedelta(minutes=1)
