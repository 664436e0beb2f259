"""What `publish` writes, and how far things are."""

import datetime as dt
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from shared.events import CloudEvent, outbox_stats, publish, stream_stats
from shared.events.group import Group
from shared.events.outbox import woken_by
from testkit.things import GROUP, OUTBOX, STREAM, Things, made
from testkit.waiting import eventually


class Colour(StrEnum):
    RED = "red"


class TestPublish:
    async def test_writes_data_as_json(self, things: Things) -> None:
        thing = uuid4()
        data = {"id": thing, "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "colour": Colour.RED, "sizes": [1, 2]}
        async with things.sessions() as session, session.begin():
            await publish(session, CloudEvent(source="/s", type="t", subject="x", data=data))
            stored = await session.scalar(sa.select(OUTBOX.c.data))
        assert stored == {"id": str(thing), "at": "2026-01-02T00:00:00Z", "colour": "red", "sizes": [1, 2]}

    async def test_event_in_the_stream_is_the_published_one(self, things: Things) -> None:
        event = made(1).model_copy(update={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
        async with things.relay():
            async with things.sessions() as session, session.begin():
                await publish(session, event)
            await eventually(things.stream)
        (entry,) = await things.redis.xrange(STREAM)
        received = CloudEvent.decode(entry[1][b"event"])
        assert received.model_copy(update={"traceparent": event.traceparent}) == event
        assert received.traceparent is not None
        assert received.traceparent.split("-")[1] == "a" * 32


class TestWokenBy:
    async def test_wakes_after_the_commit_and_not_for_a_savepoint(self, things: Things) -> None:
        woken: list[bool] = []
        with woken_by(things.sessions, lambda: woken.append(True)):
            async with things.sessions() as session, session.begin():
                async with session.begin_nested():
                    await publish(session, made(1))
                assert not woken  # the relay would find nothing
            assert woken == [True]


class TestCloudEvent:
    def test_leaves_out_what_is_absent(self) -> None:
        assert b"traceparent" not in made(1).encode()

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b'{"id":"x"}', made(1).encode().replace(b'"1.0"', b'"0.3"'), b"\xff"],
        ids=["empty", "no attributes", "no uuid", "other version", "no text"],
    )
    def test_refuses_what_is_no_event(self, body: bytes) -> None:
        with pytest.raises(ValidationError):
            CloudEvent.decode(body)

    def test_ignores_extensions_it_does_not_know(self) -> None:
        event = made(1)
        assert CloudEvent.decode(event.encode().replace(b"{", b'{"partitionkey":"p",', 1)) == event


class TestStats:
    async def test_outbox(self, things: Things) -> None:
        async with things.sessions() as session:
            empty = await outbox_stats(session)
        assert (empty.sealed, empty.unsealed, empty.oldest_unsealed_s) == (0, 0, 0.0)
        async with things.relay():
            await things.publish(1, 2)
            await eventually(lambda: is_length(things, 2))
        await things.publish(3)
        async with things.sessions() as session:
            stats = await outbox_stats(session)
        assert (stats.sealed, stats.unsealed) == (2, 1)
        assert 0 < stats.oldest_unsealed_s < 60

    async def test_stream(self, things: Things) -> None:
        assert (await stream_stats(things.redis, STREAM)).groups == []
        await things.send(1, 2, 3)
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "member", {STREAM: ">"}, count=1)
        stats = await stream_stats(things.redis, STREAM)
        (group,) = stats.groups
        assert (stats.length, stats.last) == (3, 3)
        assert (group.name, group.lag, group.pending, group.consumers) == (GROUP, 2, 1, 1)

    async def test_members_gone_for_long_are_forgotten_unless_they_left_work(self, things: Things) -> None:
        await things.send(1)
        await things.redis.xgroup_create(STREAM, GROUP, id="0")
        await things.redis.xreadgroup(GROUP, "left work", {STREAM: ">"})
        await things.redis.xgroup_createconsumer(STREAM, GROUP, "left nothing")
        member: dict[str, Any] = {
            "redis": things.redis,
            "stream": STREAM,
            "group": GROUP,
            "consumer": "new",
            "claim_idle_s": 60,
        }
        await Group(**member).join()
        assert await members(things) == {b"left work", b"left nothing"}
        await eventually(lambda: joined_alone(things, Group(**member, forget_s=0)))


async def is_length(things: Things, length: int) -> bool:
    return bool(await things.redis.xlen(STREAM) == length)


async def joined_alone(things: Things, group: Group) -> bool:
    """Idle time is whole milliseconds, and has to exceed none."""
    await group.join()
    return await members(things) == {b"left work"}


async def members(things: Things) -> set[bytes]:
    return {member["name"] for member in await things.redis.xinfo_consumers(STREAM, GROUP)}
