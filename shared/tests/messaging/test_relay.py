"""The relay on real servers: the stream equals the outbox after failures of Redis and PostgreSQL."""

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from shared.messaging import publish
from shared.messaging.appender import BATCH
from testkit.databases import create_database
from testkit.sample_service import OUTBOX, STREAM, SampleService, open_sample_service, sample_event
from testkit.servers import StartPostgres, StartValkey
from testkit.waiting import eventually

from .conditions import ADVISORY_LOCKS, RELAY_CONNECTIONS, has_rows, is_outbox_appended


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
