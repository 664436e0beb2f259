"""Published rows, the event format, and the statistics of a stream."""

import datetime as dt
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from shared.messaging import CloudEvent, get_stream_stats, publish
from shared.messaging.group import ConsumerGroup
from shared.messaging.outbox import wake_after_commit
from testkit.sample_service import GROUP, OUTBOX, STREAM, SampleService, sample_event
from testkit.waiting import eventually


class Colour(StrEnum):
    RED = "red"


class TestPublish:
    async def test_data_is_stored_as_json(self, sample: SampleService) -> None:
        identifier = uuid4()
        data = {"id": identifier, "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "colour": Colour.RED, "sizes": [1, 2]}
        async with sample.sessions() as session, session.begin():
            await publish(session, CloudEvent(source="/s", type="t", subject="x", data=data))
            stored = await session.scalar(sa.select(OUTBOX.c.data))
        assert stored == {"id": str(identifier), "at": "2026-01-02T00:00:00Z", "colour": "red", "sizes": [1, 2]}

    async def test_entry_of_the_stream_is_the_published_event(self, sample: SampleService) -> None:
        event = sample_event(1).model_copy(update={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
        async with sample.relay():
            async with sample.sessions() as session, session.begin():
                await publish(session, event)
            await eventually(sample.stream)
        (entry,) = await sample.redis.xrange(STREAM)
        received = CloudEvent.decode(entry[1][b"event"])
        assert received.model_copy(update={"traceparent": event.traceparent}) == event
        assert received.traceparent is not None
        assert received.traceparent.split("-")[1] == "a" * 32


class TestWakeAfterCommit:
    async def test_relay_is_woken_after_the_commit_but_not_by_a_savepoint(self, sample: SampleService) -> None:
        woken: list[bool] = []
        with wake_after_commit(sample.sessions, lambda: woken.append(True)):
            async with sample.sessions() as session, session.begin():
                async with session.begin_nested():
                    await publish(session, sample_event(1))
                assert not woken  # the row is not visible yet
            assert woken == [True]


class TestCloudEvent:
    def test_absent_attributes_are_omitted(self) -> None:
        assert b"traceparent" not in sample_event(1).encode()

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b'{"id":"x"}', sample_event(1).encode().replace(b'"1.0"', b'"0.3"'), b"\xff"],
        ids=["empty", "no attributes", "no uuid", "other version", "no text"],
    )
    def test_body_is_rejected_when_it_is_not_an_event(self, body: bytes) -> None:
        with pytest.raises(ValidationError):
            CloudEvent.decode(body)

    def test_unknown_extensions_are_ignored(self) -> None:
        event = sample_event(1)
        assert CloudEvent.decode(event.encode().replace(b"{", b'{"partitionkey":"p",', 1)) == event


class TestStats:
    async def test_stream_stats_have_lag_and_pending_of_each_group(self, sample: SampleService) -> None:
        assert (await get_stream_stats(sample.redis, STREAM)).groups == []
        await sample.send(1, 2, 3)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "member", {STREAM: ">"}, count=1)
        stats = await get_stream_stats(sample.redis, STREAM)
        (group,) = stats.groups
        assert (stats.length, stats.last) == (3, 3)
        assert (group.name, group.lag, group.pending, group.consumers) == (GROUP, 2, 1, 1)

    async def test_idle_members_without_pending_entries_are_deleted(self, sample: SampleService) -> None:
        await sample.send(1)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "left work", {STREAM: ">"})
        await sample.redis.xgroup_createconsumer(STREAM, GROUP, "left nothing")
        member: dict[str, Any] = {
            "redis": sample.redis,
            "stream": STREAM,
            "group": GROUP,
            "consumer": "new",
            "claim_idle_s": 60,
        }
        await ConsumerGroup(**member).join()
        assert await list_members(sample) == {b"left work", b"left nothing"}
        await eventually(lambda: has_deleted_idle_member(sample, ConsumerGroup(**member, member_retention_s=0)))


async def has_deleted_idle_member(sample: SampleService, group: ConsumerGroup) -> bool:
    """Join repeatedly, because the idle time must be at least one millisecond."""
    await group.join()
    return await list_members(sample) == {b"left work"}


async def list_members(sample: SampleService) -> set[bytes]:
    return {member["name"] for member in await sample.redis.xinfo_consumers(STREAM, GROUP)}
