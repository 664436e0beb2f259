"""The consumer during outages of Redis and PostgreSQL: it recovers, and no event becomes a dead letter."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from shared.messaging import AfterCommit, CloudEvent, publish, request_replay
from testkit.databases import create_database
from testkit.rejections import REDIS_REJECTIONS, read_only, rejecting_writes
from testkit.sample_service import GROUP, STREAM, EffectHandler, SampleService, open_sample_service, sample_event
from testkit.servers import PostgresServer, StartPostgres, StartValkey
from testkit.waiting import eventually

from .conditions import create_processor, has_applied, has_applied_after_outage, has_dead_letters, has_effect

MANY_EVENTS = 100
"""Number of events that take about a megabyte of memory in Redis, at PADDING_BYTES for each."""

PADDING_BYTES = 10_000


class TestOutages:
    async def test_group_is_created_again_when_redis_has_lost_it(self, sample: SampleService) -> None:
        with capture_logs() as records:
            await self._lose_group(sample)
        loop_events = [record["event"] for record in records if record["event"].startswith("background_")]
        assert loop_events == ["background_interrupted"]

    async def _lose_group(self, sample: SampleService) -> None:
        async with sample.consumer(EffectHandler()):
            await sample.send(1)
            await eventually(lambda: has_applied(sample, 1))
            await sample.redis.xgroup_destroy(STREAM, GROUP)
            await sample.send(2)
            await eventually(lambda: has_applied(sample, 1, 2))

    async def test_events_are_applied_once_when_redis_restarts(self, database: str, start_valkey: StartValkey) -> None:
        valkey = start_valkey()
        async with (
            open_sample_service(database_url=database, redis_url=valkey.url) as sample,
            sample.relay(poll_s=0.05),
            sample.consumer(EffectHandler()),
        ):
            await sample.publish(1)
            await eventually(lambda: has_applied(sample, 1))
            valkey.kill()
            await sample.publish(2)
            valkey.start()
            await eventually(lambda: has_effect(sample, 2))
            assert await sample.effects() == [1, 2]

    @pytest.mark.parametrize("rejection", REDIS_REJECTIONS)
    async def test_events_are_applied_when_redis_accepts_writes_again(
        self, database: str, start_valkey: StartValkey, rejection: str
    ) -> None:
        valkey = start_valkey()
        async with (
            open_sample_service(database_url=database, redis_url=valkey.url) as sample,
            sample.relay(poll_s=0.05),
            sample.consumer(EffectHandler()),
        ):
            await sample.publish(1)
            await eventually(lambda: has_applied(sample, 1))
            with capture_logs() as records:
                async with rejecting_writes(valkey.url, rejection):
                    await sample.publish(2)
                    await eventually(lambda: "background_interrupted" in {record["event"] for record in records})
            await eventually(lambda: has_effect(sample, 2))
            assert await sample.effects() == [1, 2]
            assert await has_dead_letters(sample, 0)

    async def test_relay_trims_the_stream_when_redis_is_out_of_memory(
        self, database: str, start_valkey: StartValkey
    ) -> None:
        valkey = start_valkey()
        async with open_sample_service(database_url=database, redis_url=valkey.url) as sample:
            async with sample.sessions() as session, session.begin():
                for n in range(1, MANY_EVENTS + 1):
                    data = {"n": n, "padding": "x" * PADDING_BYTES}
                    await publish(session, sample_event(n).model_copy(update={"data": data}))
            async with (
                sample.relay(trim_for=[GROUP], trim_s=3600, poll_s=0.05),
                sample.consumer(EffectHandler()),
            ):
                await eventually(lambda: has_applied(sample, *range(1, MANY_EVENTS + 1)))
                used_bytes = (await sample.redis.info("memory"))["used_memory"]
                await sample.redis.config_set("maxmemory", used_bytes - 10 * PADDING_BYTES)
                await sample.publish(MANY_EVENTS + 1)
                await eventually(lambda: has_effect(sample, MANY_EVENTS + 1))


class TestPostgresOutages:
    """With `max_attempts=1`, an event would become a dead letter if an outage counted as its failure."""

    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    @pytest.fixture
    async def sample(self, postgres: PostgresServer, redis_url: str) -> AsyncIterator[SampleService]:
        url = await create_database(postgres.url)
        async with open_sample_service(database_url=url, redis_url=redis_url) as opened:
            yield opened

    async def test_event_is_applied_when_postgresql_restarts_within_the_handler(
        self, sample: SampleService, postgres: PostgresServer
    ) -> None:
        async with sample.consumer(RestartingHandler(postgres), max_attempts=1):
            await sample.send(1, 2)
            await eventually(lambda: has_applied_after_outage(sample, 1, 2))
        assert await has_dead_letters(sample, 0)

    async def test_event_is_applied_when_postgresql_was_stopped_between_events(
        self, sample: SampleService, postgres: PostgresServer
    ) -> None:
        async with sample.consumer(EffectHandler(), max_attempts=1):
            await sample.send(1)
            await eventually(lambda: has_applied(sample, 1))
            postgres.immediate_stop()
            await sample.send(2)
            await eventually(sample.pending, what="the event to be delivered during the outage")
            postgres.start()
            await eventually(lambda: has_applied_after_outage(sample, 1, 2))
        assert await has_dead_letters(sample, 0)

    async def test_event_is_applied_when_postgresql_was_read_only(
        self, sample: SampleService, postgres: PostgresServer
    ) -> None:
        async with sample.consumer(EffectHandler(), max_attempts=1):
            await sample.send(1)
            await eventually(lambda: has_applied(sample, 1))
            with capture_logs() as records:
                async with read_only(postgres.url):
                    await sample.send(2)
                    await eventually(lambda: "background_interrupted" in {record["event"] for record in records})
            await eventually(lambda: has_applied_after_outage(sample, 1, 2))
        assert await has_dead_letters(sample, 0)

    @pytest.mark.parametrize("sqlstate", ["25006", "40P01", "53100", "55P03"])
    async def test_error_is_raised_when_its_sqlstate_means_an_unavailable_store(
        self, sample: SampleService, sqlstate: str
    ) -> None:
        processor = create_processor(sample, EffectHandler())
        async with sample.sessions() as session:
            with pytest.raises(sa.exc.DBAPIError) as rejected:
                await session.execute(sa.text(f"DO $$ BEGIN RAISE 'rejected' USING ERRCODE = '{sqlstate}'; END $$"))
        with pytest.raises(sa.exc.DBAPIError):
            await processor.raise_if_store_unavailable(rejected.value)

    async def test_dead_letter_is_replayed_when_postgresql_has_restarted(
        self, sample: SampleService, postgres: PostgresServer
    ) -> None:
        processor = create_processor(sample, RestartingHandler(postgres))
        await processor.dead_letter("1-0", sample_event(1).encode(), None, error="", attempts=1)
        async with sample.sessions() as session, session.begin():
            await request_replay(session)
        with pytest.raises(sa.exc.DBAPIError):
            await processor.replay_dead_letters()
        await processor.replay_dead_letters()
        assert await sample.effects() == [1]

    async def test_error_is_raised_for_an_error_of_the_handler_only_when_postgresql_is_unreachable(
        self, sample: SampleService, postgres: PostgresServer
    ) -> None:
        processor, error = create_processor(sample, EffectHandler()), ValueError("may be caused by the outage")
        await processor.raise_if_store_unavailable(error)
        postgres.immediate_stop()
        with pytest.raises((OSError, sa.exc.DBAPIError)):
            await processor.raise_if_store_unavailable(error)


class RestartingHandler(EffectHandler):
    """A handler whose first call loses its connection, because it stops PostgreSQL before its statement.

    PostgreSQL runs again when the call ends.
    """

    def __init__(self, postgres: PostgresServer) -> None:
        super().__init__()
        self.postgres = postgres

    async def __call__(self, session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        if self.calls:
            return await super().__call__(session, event)
        self.postgres.immediate_stop()
        try:
            return await super().__call__(session, event)
        finally:
            self.postgres.start()
