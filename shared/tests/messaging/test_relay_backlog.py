"""The metrics of the relay's backlog, and the trimming of its stream."""

import asyncio

import asyncpg
from redis.asyncio import Redis

from shared.messaging import trim_stream
from shared.messaging.appender import StreamAppender
from testkit.databases import execute
from testkit.metrics import RecordedMetrics
from testkit.sample_service import GROUP, STREAM, SampleService, open_sample_service
from testkit.servers import StartValkey
from testkit.waiting import eventually

from .conditions import ADVISORY_LOCKS, FOLLOWERS, RELAY_CONNECTIONS, has_entries, has_rows, is_outbox_appended


class TestBacklog:
    async def test_waiting_events_are_counted_when_redis_is_unavailable(
        self, database: str, start_valkey: StartValkey, metrics: RecordedMetrics
    ) -> None:
        """The relay polls every hour, so that the publication after the outage began causes the first measurement."""
        valkey, stream = start_valkey(), "events:of-an-outage"
        async with (
            open_sample_service(database_url=database, redis_url=valkey.url) as sample,
            sample.relay(stream=stream, trim_for=[GROUP], trim_s=0, poll_s=3600),
        ):
            await sample.publish(1)
            await eventually(lambda: sample.redis.xlen(stream))
            valkey.kill()
            await sample.publish(2)
            await eventually(lambda: metrics.value("hopline.outbox.depth", {"messaging.destination.name": stream}))
            assert metrics.value("hopline.outbox.depth", {"messaging.destination.name": stream}) == 1
            assert metrics.value("hopline.outbox.age", {"messaging.destination.name": stream}) > 0

    async def test_waiting_events_are_counted_when_the_relay_becomes_the_leader_during_an_outage(
        self, database: str, start_valkey: StartValkey, metrics: RecordedMetrics
    ) -> None:
        valkey, stream = start_valkey(), "events:of-a-successor"
        async with open_sample_service(database_url=database, redis_url=valkey.url) as sample:
            async with sample.relay(stream=stream, poll_s=0.05):
                await sample.publish(1)
                await eventually(lambda: sample.redis.xlen(stream))
            valkey.kill()
            await sample.publish(2, 3)
            async with sample.relay(stream=stream, poll_s=0.05):
                labels = {"messaging.destination.name": stream}
                await eventually(lambda: metrics.value("hopline.outbox.depth", labels) == 2)

    async def test_waiting_events_are_counted_when_the_relay_leads_again_during_an_outage(
        self, database: str, start_valkey: StartValkey, metrics: RecordedMetrics
    ) -> None:
        """The end of the stream that the relay knew is wrong, because another relay has appended since."""
        valkey, stream = start_valkey(), "events:of-a-former-leader"
        relay_name = f"relay {stream}"
        other = await asyncpg.connect(database)
        async with (
            open_sample_service(database_url=database, redis_url=valkey.url) as sample,
            sample.relay(stream=stream, poll_s=0.05),
        ):
            for count in (1, 2):  # before the second append, the relay records the end of the stream as 1
                await sample.publish(count)
                await eventually(lambda count=count: has_length(sample.redis, stream, count))  # type: ignore[misc]
            lock = asyncio.create_task(other.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", relay_name))
            await eventually(lambda: has_rows(sample, f"{ADVISORY_LOCKS} AND NOT granted", 1))
            await execute(database, f"SELECT pg_terminate_backend(pid) FROM {RELAY_CONNECTIONS}")  # noqa: S608
            await lock
            await eventually(lambda: has_rows(sample, FOLLOWERS, 1))
            await sample.publish(*range(3, 11))
            await StreamAppender(connection=other, redis=sample.redis, stream=stream).step()
            valkey.kill()
            await other.close()
            await sample.publish(11, 12)
            labels = {"messaging.destination.name": stream}
            await eventually(lambda: metrics.value("hopline.outbox.depth", labels) == 2)


async def has_length(redis: Redis, stream: str, length: int) -> bool:
    return bool(await redis.xlen(stream) == length)


class TestTrim:
    async def test_relay_trims_entries_that_all_groups_have_acknowledged(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05, trim_s=0.05, trim_for=[GROUP]):
            await sample.publish(1, 2, 3)
            await eventually(lambda: is_outbox_appended(sample, 3))
            await acknowledge(sample.redis, GROUP, count=3)
            await eventually(lambda: has_entries(sample, 1))

    async def test_entries_stay_when_a_group_has_not_acknowledged_them(self, sample: SampleService) -> None:
        await sample.send(1, 2, 3, 4)
        await acknowledge(sample.redis, "fast", count=4)
        await acknowledge(sample.redis, "slow", count=2)
        await sample.redis.xreadgroup("slow", "member", {STREAM: ">"})
        assert await trim_stream(sample.redis, STREAM, groups=["fast", "slow"]) == 2
        assert [seq for seq, _ in await sample.stream()] == ["3-0", "4-0"]

    async def test_entries_stay_when_a_group_is_missing(self, sample: SampleService) -> None:
        await sample.send(1, 2, 3)
        await acknowledge(sample.redis, "fast", count=3)
        assert await trim_stream(sample.redis, STREAM, groups=["fast", "absent"]) == 0
        assert await trim_stream(sample.redis, "events:nothing", groups=["fast"]) == 0


async def acknowledge(redis: Redis, group: str, *, count: int) -> None:
    """Create the group, and let one member read and acknowledge the first `count` entries."""
    await redis.xgroup_create(STREAM, group, id="0")
    responses = await redis.xreadgroup(group, "member", {STREAM: ">"}, count=count)
    await redis.xack(STREAM, group, *(entry_id for entry_id, _ in responses[0][1]))
