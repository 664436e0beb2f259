"""The consumer while Redis or Postgres is away: it goes on by itself, and blames no event for it."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from shared.events import AfterCommit, CloudEvent, publish, request_replay
from testkit.databases import create_database
from testkit.refusals import REDIS_REFUSALS, read_only, refusing_writes
from testkit.servers import PostgresServer, StartPostgres, StartValkey
from testkit.things import GROUP, STREAM, Things, Watcher, made, open_things
from testkit.waiting import eventually

from .observed import a_processor, are_dead, is_effect, settled, things_are

MANY = 100
"""Events that take some megabyte of Redis' memory."""


class TestOutages:
    async def test_group_that_vanished_is_made_anew(self, things: Things) -> None:
        async with things.consumer(Watcher()):
            await things.send(1)
            await eventually(lambda: settled(things, 1))
            await things.redis.xgroup_destroy(STREAM, GROUP)
            await things.send(2)
            await eventually(lambda: settled(things, 1, 2))

    async def test_survives_redis_kill_and_restart(self, database: str, start_valkey: StartValkey) -> None:
        valkey = start_valkey()
        async with (
            open_things(database_url=database, redis_url=valkey.url) as things,
            things.relay(poll_s=0.05),
            things.consumer(Watcher()),
        ):
            await things.publish(1)
            await eventually(lambda: settled(things, 1))
            valkey.kill()
            await things.publish(2)
            valkey.start()
            await eventually(lambda: is_effect(things, 2))
            assert await things.effects() == [1, 2]

    @pytest.mark.parametrize("refusal", REDIS_REFUSALS)
    async def test_survives_refused_writes(self, database: str, start_valkey: StartValkey, refusal: str) -> None:
        valkey = start_valkey()
        async with (
            open_things(database_url=database, redis_url=valkey.url) as things,
            things.relay(poll_s=0.05),
            things.consumer(Watcher()),
        ):
            await things.publish(1)
            await eventually(lambda: settled(things, 1))
            with capture_logs() as lines:
                async with refusing_writes(valkey.url, refusal):
                    await things.publish(2)
                    await eventually(lambda: "background_interrupted" in {line["event"] for line in lines})
            await eventually(lambda: is_effect(things, 2))
            assert await things.effects() == [1, 2]
            assert await are_dead(things, 0)

    async def test_relay_frees_memory_that_is_full_of_acknowledged_entries(
        self, database: str, start_valkey: StartValkey
    ) -> None:
        valkey = start_valkey()
        async with open_things(database_url=database, redis_url=valkey.url) as things:
            async with things.sessions() as session, session.begin():
                for n in range(1, MANY + 1):
                    await publish(session, made(n).model_copy(update={"data": {"n": n, "padding": "x" * 10_000}}))
            async with things.relay(trim_for=[GROUP], trim_s=3600, poll_s=0.05), things.consumer(Watcher()):
                await eventually(lambda: settled(things, *range(1, MANY + 1)))
                used = (await things.redis.info("memory"))["used_memory"]
                await things.redis.config_set("maxmemory", used - 100_000)
                await things.publish(MANY + 1)
                await eventually(lambda: is_effect(things, MANY + 1))


class TestPostgresOutages:
    """Postgres being away says nothing about the event: with `max_attempts=1`, one wrong blame is a dead letter."""

    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    @pytest.fixture
    async def things(self, postgres: PostgresServer, redis_url: str) -> AsyncIterator[Things]:
        url = await create_database(postgres.url)
        async with open_things(database_url=url, redis_url=redis_url) as opened:
            yield opened

    async def test_survives_restart_within_a_handler(self, things: Things, postgres: PostgresServer) -> None:
        async with things.consumer(Interrupted(postgres), max_attempts=1):
            await things.send(1, 2)
            await eventually(lambda: things_are(things, 1, 2))
        assert await are_dead(things, 0)

    async def test_survives_being_away_between_events(self, things: Things, postgres: PostgresServer) -> None:
        async with things.consumer(Watcher(), max_attempts=1):
            await things.send(1)
            await eventually(lambda: settled(things, 1))
            postgres.immediate_stop()
            await things.send(2)
            await eventually(things.pending, what="the event to be in hand without a database")
            postgres.start()
            await eventually(lambda: things_are(things, 1, 2))
        assert await are_dead(things, 0)

    async def test_survives_read_only_server(self, things: Things, postgres: PostgresServer) -> None:
        async with things.consumer(Watcher(), max_attempts=1):
            await things.send(1)
            await eventually(lambda: settled(things, 1))
            with capture_logs() as lines:
                async with read_only(postgres.url):
                    await things.send(2)
                    await eventually(lambda: "background_interrupted" in {line["event"] for line in lines})
            await eventually(lambda: things_are(things, 1, 2))
        assert await are_dead(things, 0)

    @pytest.mark.parametrize("sqlstate", ["25006", "40P01", "53100", "55P03"])
    async def test_blames_no_event_that_was_rejected(self, things: Things, sqlstate: str) -> None:
        processor = a_processor(things, Watcher())
        async with things.sessions() as session:
            with pytest.raises(sa.exc.DBAPIError) as rejected:
                await session.execute(sa.text(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{sqlstate}'; END $$"))
        with pytest.raises(sa.exc.DBAPIError):
            await processor.blame(rejected.value)

    async def test_replay_survives_restart(self, things: Things, postgres: PostgresServer) -> None:
        processor = a_processor(things, Interrupted(postgres))
        await processor.bury("1-0", made(1).encode(), None, error="", attempts=1)
        async with things.sessions() as session, session.begin():
            await request_replay(session)
        with pytest.raises(sa.exc.DBAPIError):
            await processor.replay_requested()
        await processor.replay_requested()
        assert await things.effects() == [1]

    async def test_blames_no_event_while_away(self, things: Things, postgres: PostgresServer) -> None:
        processor, error = a_processor(things, Watcher()), ValueError("perhaps for lack of a database")
        await processor.blame(error)
        postgres.immediate_stop()
        with pytest.raises((OSError, sa.exc.DBAPIError)):
            await processor.blame(error)


class Interrupted(Watcher):
    """Its first call loses its connection to a restart, and finds Postgres back."""

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
