"""What the worker needs goes away and comes back (FAULTS rows 6, 7, 8); the same process goes on."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.databases import MigratedDatabase, create_database, migrate
from testkit.refusals import REDIS_REFUSALS, read_only, refusing_writes
from testkit.servers import PostgresServer, StartPostgres, StartValkey, ValkeyServer
from testkit.spans import Spans
from testkit.waiting import eventually
from workers.sweeper import PAGE

from .factories import order_email, order_event, ship, welcome_email
from .standins import person
from .world import Process, World, open_world

INI = Path(__file__).parents[1] / "alembic.ini"


class TestFlushedRedis:
    async def test_waiting_and_later_jobs_are_still_done(self, world: World) -> None:
        now, later = welcome_email(), welcome_email(delay_s=1.0)
        for job in (now, later):
            person(world.users, job.payload.user_id)
        world.users.answers = [503]  # the first attempt fails: a retry waits in Redis as well
        async with world.worker() as worker:
            await world.add(now, later)
            await world.until(lambda jobs: "503" in "".join(job.last_error or "" for job in jobs))
            await worker.pool.flushdb()
            await world.until_done(2)
        assert len(world.mailbox.messages) == 2

    async def test_a_long_queue_of_reports_hides_no_lost_email(self, world: World) -> None:
        job = welcome_email()
        person(world.users, job.payload.user_id)
        await world.execute(
            "INSERT INTO job (id, kind, dedupe_key, payload, run_after)"
            " SELECT gen_random_uuid(), 'make_report', number, '{}', now() - interval '1 hour'"
            " FROM generate_series(1, :many) AS number",
            many=PAGE,
        )
        await world.add(job)
        await world.execute("UPDATE job SET run_after = now() - interval '1 minute' WHERE kind <> 'make_report'")
        await world.redis.flushdb()
        async with world.worker():
            await eventually(lambda: len(world.mailbox.messages) == 1)

    async def test_entry_of_a_worker_that_died_before_its_claim_is_freed(self, world: World) -> None:
        job = welcome_email()
        person(world.users, job.payload.user_id)
        (queued,) = await world.add(job)
        await world.execute("UPDATE job SET run_after = now() - interval '1 minute'")
        await world.redis.set(f"arq:in-progress:{queued.job_id}:1", b"1", ex=100)
        async with world.worker():
            await world.until_done(1)


class TestRedisRestart:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.fixture
    async def fragile_world(
        self, migrated_database: MigratedDatabase, valkey: ValkeyServer, tmp_path: Path
    ) -> AsyncIterator[World]:
        database_url = await migrated_database("workers")
        async with open_world(database_url=database_url, redis_url=valkey.url, objects=tmp_path) as opened:
            yield opened

    async def test_is_survived_by_the_same_process(self, fragile_world: World, valkey: ValkeyServer) -> None:
        world, during, after = fragile_world, welcome_email(), order_event("shipped")
        person(world.users, during.payload.user_id)
        person(world.users, after.data["user_id"])
        async with world.process() as process:
            valkey.kill()
            await world.add(during)
            await eventually(lambda: "redis_away" in process.events())
            valkey.start()
            await world.until_done(1)
            await ship(world.redis, after)
            await world.until_done(2)
            await eventually(lambda: "redis_back" in process.events())
            assert not process.ended
        assert len(world.mailbox.messages) == 2

    @pytest.mark.parametrize("refusal", REDIS_REFUSALS)
    async def test_refused_writes_are_survived_by_the_same_process(
        self, fragile_world: World, valkey: ValkeyServer, refusal: str
    ) -> None:
        world, job = fragile_world, welcome_email()
        person(world.users, job.payload.user_id)
        async with world.process() as process:
            async with refusing_writes(valkey.url, refusal):
                await world.add(job)
                await eventually(lambda: "redis_away" in process.events())
                assert not process.ended
            await world.until_done(1)
            assert not process.ended
        assert len(world.mailbox.messages) == 1

    async def test_worker_starts_while_writes_are_refused(self, fragile_world: World, valkey: ValkeyServer) -> None:
        async with refusing_writes(valkey.url, "replica"):
            process = await Process.start(fragile_world.environment, settings="ReportWorkerSettings")
            await eventually(lambda: "redis_away" in process.events() or process.ended)
        try:
            await eventually(lambda: "redis_back" in process.events())
            assert not process.ended
        finally:
            await process.end()

    async def test_worker_that_waits_for_redis_can_be_stopped(self, fragile_world: World, valkey: ValkeyServer) -> None:
        async with fragile_world.process() as process:
            valkey.kill()
            await eventually(lambda: "redis_away" in process.events())
            process.send(signal.SIGTERM)
            assert await process.wait() == 0, process.output
        assert process.events()[-1] == "worker_stopped"


class TestPostgresRestart:
    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    @pytest.fixture
    async def fragile_world(self, postgres: PostgresServer, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
        database_url = await create_database(postgres.url)
        await asyncio.to_thread(migrate, INI, database_url)
        async with open_world(database_url=database_url, redis_url=redis_url, objects=tmp_path) as opened:
            yield opened

    async def test_is_survived_by_the_same_process(self, fragile_world: World, postgres: PostgresServer) -> None:
        world, event = fragile_world, order_event("shipped")
        person(world.users, event.data["user_id"])
        async with world.process() as process:
            postgres.immediate_stop()
            await ship(world.redis, event)
            await eventually(lambda: "background_interrupted" in process.events())
            postgres.start()
            await eventually(lambda: world.mailbox.messages)
            assert not process.ended

    async def test_read_only_database_is_survived_by_the_same_process(
        self, fragile_world: World, postgres: PostgresServer
    ) -> None:
        world, event = fragile_world, order_event("shipped")
        person(world.users, event.data["user_id"])
        async with world.process() as process:
            async with read_only(postgres.url):
                await ship(world.redis, event)
                await eventually(lambda: "background_interrupted" in process.events())
            await eventually(lambda: world.mailbox.messages)
            assert not process.ended

    async def test_in_the_mail_dialogue_loses_no_record_of_it(
        self, fragile_world: World, postgres: PostgresServer
    ) -> None:
        world, job = fragile_world, order_email()
        person(world.users, job.payload.user_id)
        await world.add(job)
        world.mailbox.open.clear()
        async with world.process() as process:
            await eventually(lambda: world.mailbox.waiting == 1)
            postgres.immediate_stop()
            world.mailbox.open.set()
            await eventually(lambda: "email_ledger_away" in process.events())
            postgres.start()
            await eventually(lambda: "email_sent" in process.events())
        await world.database.engine.dispose()
        assert [email.state for email in await world.emails()] == ["sent"]
        assert len(world.mailbox.messages) == 1


class TestMailServer:
    async def test_down_then_up(self, world: World) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        await world.mailbox.stop()
        async with world.worker():
            await world.add(job)
            await world.until(lambda jobs: "SMTP at" in (jobs[0].last_error or ""))
            await world.mailbox.start()
            await world.until_done(1)
        assert len(world.mailbox.messages) == 1

    async def test_that_refuses_for_now_is_asked_again(self, world: World) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        world.mailbox.replies = ["451 try later"]
        async with world.worker():
            await world.add(job)
            (done,) = await world.until_done(1)
        assert done.attempt == 2
        assert "451" in (done.last_error or "")

    async def test_that_refuses_for_good_makes_the_job_dead(self, world: World, spans: Spans) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        world.mailbox.replies = ["554 no spam here"]
        async with world.worker():
            await world.add(job)
            (dead,) = await world.until_ended(1)
        assert dead.state == "dead"
        assert "554" in (dead.last_error or "")
        [failure] = spans.one("SMTP send").events
        assert set(failure.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}

    async def test_that_does_not_know_the_recipient_makes_the_job_dead(self, world: World) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        world.mailbox.refused = ["ada@hopline.example"]
        async with world.worker():
            await world.add(job)
            jobs = await world.until(lambda jobs: jobs[0].state == "dead")
        assert jobs[0].last_error is not None
        assert "550" in jobs[0].last_error
        assert "ada@" not in jobs[0].last_error

    @pytest.mark.parametrize("address", ["no address", "a@b\r\nBcc: c@hopline.example", "a@b c"])
    async def test_gets_no_address_that_is_none(self, world: World, address: str) -> None:
        job = order_email()
        person(world.users, job.payload.user_id, email=address)
        async with world.worker():
            await world.add(job)
            jobs = await world.until(lambda jobs: jobs[0].state == "dead")
        assert (jobs[0].last_error or "").startswith("JobImpossible: ")
        assert "a@b" not in (jobs[0].last_error or "")
