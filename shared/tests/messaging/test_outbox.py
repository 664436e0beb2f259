"""Publishing, the wake-up of the relay after a commit, the event format, and the statistics of a stream."""

import datetime as dt
import json
from enum import StrEnum
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from shared.messaging import CloudEvent, get_stream_stats, publish
from shared.messaging.outbox import wake_after_commit
from testkit.sample_service import GROUP, OUTBOX, STREAM, SampleService, sample_event
from testkit.waiting import eventually


class Colour(StrEnum):
    RED = "red"


def encode_event_with(**attributes: str) -> bytes:
    return json.dumps(json.loads(sample_event(1).encode()) | attributes).encode()


class TestPublish:
    async def test_values_of_python_types_are_stored_as_json(self, sample: SampleService) -> None:
        row_id = uuid4()
        data = {"id": row_id, "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "colour": Colour.RED, "sizes": [1, 2]}
        async with sample.sessions() as session, session.begin():
            await publish(session, CloudEvent(source="/s", type="t", subject="x", data=data))
            stored = await session.scalar(sa.select(OUTBOX.c.data))
        assert stored == {"id": str(row_id), "at": "2026-01-02T00:00:00Z", "colour": "red", "sizes": [1, 2]}

    async def test_entry_of_the_stream_is_the_published_event_in_the_same_trace(self, sample: SampleService) -> None:
        trace_id = "a" * 32
        event = sample_event(1).model_copy(update={"traceparent": f"00-{trace_id}-{'b' * 16}-01"})
        async with sample.relay():
            async with sample.sessions() as session, session.begin():
                await publish(session, event)
            await eventually(sample.stream)
        [(_entry_id, fields)] = await sample.redis.xrange(STREAM)
        received = CloudEvent.decode(fields[b"event"])
        assert received.model_copy(update={"traceparent": event.traceparent}) == event
        assert received.traceparent is not None
        assert received.traceparent.split("-")[1] == trace_id


class TestWakeAfterCommit:
    async def test_relay_is_woken_once_by_the_commit_and_not_by_a_savepoint(self, sample: SampleService) -> None:
        wake_ups: list[bool] = []
        with wake_after_commit(sample.sessions, lambda: wake_ups.append(True)):
            async with sample.sessions() as session, session.begin():
                async with session.begin_nested():
                    await publish(session, sample_event(1))
                assert not wake_ups, "the row is not visible yet"
            assert len(wake_ups) == 1


class TestCloudEvent:
    def test_absent_attributes_are_omitted(self) -> None:
        assert b"traceparent" not in sample_event(1).encode()

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", encode_event_with(id="x"), encode_event_with(specversion="0.3"), b"\xff"],
        ids=["empty", "without attributes", "invalid id", "other version", "invalid UTF-8"],
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
