"""The relay on real servers: the stream equals the outbox after failures of Redis and PostgreSQL."""

import asyncio

import asyncpg
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from structlog.testing import capture_logs

from shared.messaging import publish, trim_stream
from shared.messaging.appender import BATCH, StreamAppender
from testkit.databases import create_database, execute, fetch_value
from testkit.metrics import RecordedMetrics
from testkit.sample_service import GROUP, OUTBOX, STREAM, SampleService, open_sample_service, sample_event
from testkit.servers import StartPostgres, StartValkey
from testkit.waiting import eventually

from .conditions import has_entries, is_outbox_appended


class TestAppend:
    async def test_events_are_appended_in_the_order_of_insertion(self, sample: SampleService) -> None:
        async with sample.relay():
            await sample.publish(*range(20))
            await eventually(lambda: is_outbox_appended(sample, 20))
        assert [n for _, n in await sample.stream()] == list(range(20))

    async def test_events_are_appended_when_the_backlog_exceeds_a_batch(self, sample: SampleService) -> None:
        async with sample.sessions() as session, session.begin():
            for n in range(2 * BATCH + 1):
                await publish(session, sample_event(n))
        async with sample.relay():
            await eventually(lambda: is_outbox_appended(sample, 2 * BATCH + 1))

    async def test_event_is_not_appended_when_its_transaction_is_rolled_back(self, sample: SampleService) -> None:
        async with sample.relay():
            async with sample.sessions() as session:
                await publish(session, sample_event(1))
                await session.rollback()
            await sample.publish(2)
            await eventually(lambda: is_outbox_appended(sample, 1))
        assert await sample.stream() == [("1-0", 2)]

    async def test_event_is_appended_when_its_transaction_commits_late(self, sample: SampleService) -> None:
        async with sample.relay(), sample.sessions() as slow:
            await publish(slow, sample_event(1))
            await sample.publish(2)
            await eventually(lambda: is_outbox_appended(sample, 1))
            await slow.commit()
            await eventually(lambda: is_outbox_appended(sample, 2))
        assert await sample.stream() == [("1-0", 2), ("2-0", 1)]

    @pytest.mark.parametrize(("scheme", "option"), [("postgresql", "ssl=disable"), ("postgresql+asyncpg", "")])
    async def test_events_are_appended_when_asyncpg_does_not_accept_the_url(
        self, sample: SampleService, scheme: str, option: str
    ) -> None:
        """The pool accepts it."""
        url = sample.database_url.replace("postgresql", scheme, 1) + f"?{option}"
        async with sample.relay(database_url=url):
            await sample.publish(1)
            await eventually(lambda: is_outbox_appended(sample, 1))


class TestWakeUp:
    """The relay polls every hour, so that only a wake-up can cause it to append."""

    async def test_commit_wakes_the_relay_of_the_same_process(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=3600):
            await sample.publish(1)
            await eventually(lambda: is_outbox_appended(sample, 1))
            await sample.publish(2)
            await eventually(lambda: is_outbox_appended(sample, 2))

    async def test_commit_wakes_the_leader_in_another_process(self, sample: SampleService) -> None:
        await sample.publish(1)  # committed before there is a leader, which finds it at its start
        async with sample.relay(poll_s=3600, sessions=None):
            await eventually(lambda: is_outbox_appended(sample, 1), what="the leader")
            async with sample.relay(poll_s=3600):  # the other relay holds the lock
                await sample.publish(2)
                await eventually(lambda: is_outbox_appended(sample, 2))

    async def test_commit_wakes_the_relay_when_the_event_was_published_in_a_savepoint(
        self, sample: SampleService
    ) -> None:
        async with sample.relay(poll_s=3600):
            await sample.publish(1)
            await eventually(lambda: is_outbox_appended(sample, 1))
            async with sample.sessions() as session, session.begin(), session.begin_nested():
                await publish(session, sample_event(2))
            await eventually(lambda: is_outbox_appended(sample, 2))

    async def test_each_commit_of_a_session_wakes_the_relay(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=3600), sample.sessions() as session:
            for n in (1, 2, 3):
                await publish(session, sample_event(n))
                await session.commit()
                await eventually(lambda n=n: is_outbox_appended(sample, n))  # type: ignore[misc]

    async def test_events_are_appended_by_polling_when_no_wake_up_arrives(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05, sessions=None):
            for n in (1, 2):
                await sample.publish(n)
                await eventually(lambda n=n: is_outbox_appended(sample, n))  # type: ignore[misc]


class TestOneLeader:
    async def test_events_are_appended_once_when_two_relays_run(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05), sample.relay(poll_s=0.05):
            await sample.publish(*range(50))
            await eventually(lambda: is_outbox_appended(sample, 50))

    async def test_follower_appends_when_the_leader_has_stopped(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05):
            async with sample.relay(poll_s=0.05):
                await sample.publish(1)
                await eventually(lambda: is_outbox_appended(sample, 1))
            await sample.publish(2)
            await eventually(lambda: is_outbox_appended(sample, 2))

    async def test_only_one_relay_holds_the_lock(self, sample: SampleService) -> None:
        async with sample.relay(), sample.relay():
            await eventually(lambda: has_rows(sample, RELAY_CONNECTIONS, 2))
            await sample.publish(1)
            await eventually(lambda: is_outbox_appended(sample, 1))
            assert await has_rows(sample, ADVISORY_LOCKS, 1)


RELAY_CONNECTIONS = "pg_stat_activity WHERE application_name LIKE 'relay%' AND datname = current_database()"
FOLLOWERS = f"{RELAY_CONNECTIONS} AND state = 'idle' AND query LIKE 'SELECT pg_try_advisory_lock%'"
ADVISORY_LOCKS = (
    "pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()"
)


async def has_rows(sample: SampleService, source: str, count: int) -> bool:
    query = "SELECT count(*) FROM " + source  # noqa: S608 - the constants above
    return bool(await fetch_value(sample.database_url, query) == count)


class TestRedisLosesData:
    async def test_events_are_appended_again_when_redis_was_flushed(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05):
            await sample.publish(1, 2, 3)
            await eventually(lambda: is_outbox_appended(sample, 3))
            await sample.redis.flushdb()
            await eventually(lambda: is_outbox_appended(sample, 3))

    async def test_events_are_appended_again_when_redis_was_flushed_between_events(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=3600):
            await sample.publish(1, 2, 3)
            await eventually(lambda: is_outbox_appended(sample, 3))
            await sample.redis.flushdb()
            await sample.publish(4)
            await eventually(lambda: is_outbox_appended(sample, 4))

    async def test_missing_events_are_appended_when_redis_restored_an_older_state(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05):
            await sample.publish(1, 2, 3)
            await eventually(lambda: is_outbox_appended(sample, 3))
            kept = await sample.redis.xrange(STREAM, count=2)
            async with sample.redis.pipeline(transaction=True) as restore:
                restore.delete(STREAM)
                for entry_id, fields in kept:
                    restore.xadd(STREAM, fields, id=entry_id)
                await restore.execute()
            await eventually(lambda: is_outbox_appended(sample, 3))

    async def test_events_are_not_appended_again_when_the_stream_was_trimmed(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05):
            await sample.publish(1, 2, 3)
            await eventually(lambda: is_outbox_appended(sample, 3))
            await sample.redis.xtrim(STREAM, minid="4-0")
            await sample.publish(4)
            await eventually(lambda: sample.redis.xlen(STREAM))
        assert await sample.stream() == [("4-0", 4)]

    async def test_stream_is_recreated_when_postgresql_restored_an_older_state(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05):
            await sample.publish(1, 2, 3)
            await eventually(lambda: is_outbox_appended(sample, 3))
        async with sample.sessions() as session, session.begin():
            await session.execute(sa.delete(OUTBOX).where(OUTBOX.c.pub_seq > 1))
        await sample.publish(4)
        async with sample.relay(poll_s=0.05):
            await eventually(lambda: is_outbox_appended(sample, 2))
        assert await sample.stream() == [("1-0", 1), ("2-0", 4)]


class TestOutages:
    @pytest.mark.parametrize("append_only", [True, False], ids=["keeps all data", "keeps no data"])
    async def test_events_are_appended_when_redis_restarts(
        self, database: str, start_valkey: StartValkey, append_only: bool
    ) -> None:
        valkey = start_valkey(append_only=append_only)
        async with (
            open_sample_service(database_url=database, redis_url=valkey.url) as sample,
            sample.relay(poll_s=0.05),
        ):
            await sample.publish(1, 2)
            await eventually(lambda: is_outbox_appended(sample, 2))
            valkey.kill()
            await sample.publish(3, 4)
            valkey.start()
            await eventually(lambda: is_outbox_appended(sample, 4))

    async def test_events_are_appended_when_postgresql_restarts(
        self, redis_url: str, start_postgres: StartPostgres
    ) -> None:
        postgres = start_postgres()
        url = await create_database(postgres.url)
        async with (
            open_sample_service(database_url=url, redis_url=redis_url) as sample,
            sample.relay(poll_s=0.05),
        ):
            await sample.publish(1, 2)
            await eventually(lambda: is_outbox_appended(sample, 2))
            postgres.immediate_stop()
            postgres.start()
            await sample.engine.dispose()
            await sample.publish(3, 4)
            await eventually(lambda: is_outbox_appended(sample, 4))

    async def test_missing_table_is_logged_as_an_error_with_its_stack(self, sample: SampleService) -> None:
        async with sample.sessions.begin() as session:
            await session.execute(sa.text("DROP TABLE outbox"))
        with capture_logs() as records:
            async with sample.relay(poll_s=0.05):
                await eventually(lambda: "background_failed" in {record["event"] for record in records})
        failed = next(record for record in records if record["event"] == "background_failed")
        assert (failed["log_level"], failed["exc_info"]) == ("error", True)

    async def test_events_are_appended_when_redis_starts_later(self, database: str, start_valkey: StartValkey) -> None:
        valkey = start_valkey()
        valkey.kill()
        async with (
            open_sample_service(database_url=database, redis_url=valkey.url) as sample,
            sample.relay(poll_s=0.05),
        ):
            await sample.publish(1)
            valkey.start()
            await eventually(lambda: is_outbox_appended(sample, 1))


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
