"""Redis, PostgreSQL or the mail server fail and recover (chaos rows 6, 7, 8, 18 and 19). The same process continues."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from testkit.databases import MigratedDatabase, create_database, migrate
from testkit.rejections import REDIS_REJECTIONS, read_only, rejecting_writes
from testkit.servers import PostgresServer, StartPostgres, StartValkey, ValkeyServer
from testkit.spans import Spans
from testkit.waiting import eventually
from workers.jobs.sweeper import PAGE

from .factories import append_event, order_email, order_event, welcome_email
from .fakes import add_user
from .harness import Harness, Process, open_harness

INI = Path(__file__).parents[1] / "alembic.ini"


class TestFlushedRedis:
    async def test_due_and_later_jobs_are_done_when_redis_is_flushed(self, harness: Harness) -> None:
        due_job, later_job = welcome_email(), welcome_email(delay_s=1.0)
        for job in (due_job, later_job):
            add_user(harness.users, job.payload.user_id)
        harness.users.next_statuses = [503]  # the first attempt fails, so that a retry also waits in Redis
        async with harness.run_worker() as worker:
            await harness.add_jobs(due_job, later_job)
            await harness.wait_until(lambda jobs: "503" in "".join(job.last_error or "" for job in jobs))
            await worker.pool.flushdb()
            await harness.wait_until_done(2)
        assert len(harness.mailbox.messages) == 2

    async def test_lost_email_is_restored_when_the_report_queue_is_long(self, harness: Harness) -> None:
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        await harness.execute(
            "INSERT INTO job (id, kind, dedupe_key, payload, run_after)"
            " SELECT gen_random_uuid(), 'make_report', number, '{}', now() - interval '1 hour'"
            " FROM generate_series(1, :page) AS number",
            page=PAGE,
        )
        await harness.add_jobs(job)
        await harness.execute("UPDATE job SET run_after = now() - interval '1 minute' WHERE kind <> 'make_report'")
        await harness.redis.flushdb()
        async with harness.run_worker():
            await eventually(lambda: len(harness.mailbox.messages) == 1)

    async def test_job_is_done_when_a_worker_died_before_its_claim(self, harness: Harness) -> None:
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        (queued,) = await harness.add_jobs(job)
        await harness.execute("UPDATE job SET run_after = now() - interval '1 minute'")
        await harness.redis.set(f"arq:in-progress:{queued.job_id}:1", b"1", ex=100)
        async with harness.run_worker():
            await harness.wait_until_done(1)


class TestRedisRestart:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.fixture
    async def harness(
        self, migrated_database: MigratedDatabase, valkey: ValkeyServer, tmp_path: Path
    ) -> AsyncIterator[Harness]:
        database_url = await migrated_database("workers")
        async with open_harness(database_url=database_url, redis_url=valkey.url, objects=tmp_path) as opened:
            yield opened

    async def test_process_continues_when_redis_restarts(self, harness: Harness, valkey: ValkeyServer) -> None:
        job_during_outage, event_after_outage = welcome_email(), order_event("shipped")
        add_user(harness.users, job_during_outage.payload.user_id)
        add_user(harness.users, event_after_outage.data["user_id"])
        async with harness.run_process() as process:
            valkey.kill()
            await harness.add_jobs(job_during_outage)
            await eventually(lambda: "redis_away" in process.events())
            valkey.start()
            await harness.wait_until_done(1)
            await append_event(harness.redis, event_after_outage)
            await harness.wait_until_done(2)
            await eventually(lambda: "redis_back" in process.events())
            assert not process.ended
        assert len(harness.mailbox.messages) == 2

    @pytest.mark.parametrize("rejection", REDIS_REJECTIONS)
    async def test_process_continues_when_writes_are_rejected(
        self, harness: Harness, valkey: ValkeyServer, rejection: str
    ) -> None:
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        async with harness.run_process() as process:
            async with rejecting_writes(valkey.url, rejection):
                await harness.add_jobs(job)
                await eventually(lambda: "redis_away" in process.events())
                assert not process.ended
            await harness.wait_until_done(1)
            assert not process.ended
        assert len(harness.mailbox.messages) == 1

    async def test_worker_starts_when_writes_are_rejected_at_first(
        self, harness: Harness, valkey: ValkeyServer
    ) -> None:
        async with rejecting_writes(valkey.url, "replica"):
            process = await Process.start(harness.environment, settings="ReportWorkerSettings")
            await eventually(lambda: "redis_away" in process.events() or process.ended)
        try:
            await eventually(lambda: "redis_back" in process.events())
            assert not process.ended
        finally:
            await process.end()

    async def test_worker_stops_on_sigterm_when_redis_is_down(self, harness: Harness, valkey: ValkeyServer) -> None:
        async with harness.run_process() as process:
            valkey.kill()
            await eventually(lambda: "redis_away" in process.events())
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0, process.output
        assert process.events()[-1] == "worker_stopped"


class TestPostgresRestart:
    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    @pytest.fixture
    async def harness(self, postgres: PostgresServer, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
        database_url = await create_database(postgres.url)
        await asyncio.to_thread(migrate, INI, database_url)
        async with open_harness(database_url=database_url, redis_url=redis_url, objects=tmp_path) as opened:
            yield opened

    async def test_process_continues_when_postgres_restarts(self, harness: Harness, postgres: PostgresServer) -> None:
        event = order_event("shipped")
        add_user(harness.users, event.data["user_id"])
        async with harness.run_process() as process:
            postgres.immediate_stop()
            await append_event(harness.redis, event)
            await eventually(lambda: "background_interrupted" in process.events())
            postgres.start()
            await eventually(lambda: harness.mailbox.messages)
            assert not process.ended

    async def test_process_continues_when_the_database_is_read_only(
        self, harness: Harness, postgres: PostgresServer
    ) -> None:
        event = order_event("shipped")
        add_user(harness.users, event.data["user_id"])
        async with harness.run_process() as process:
            async with read_only(postgres.url):
                await append_event(harness.redis, event)
                await eventually(lambda: "background_interrupted" in process.events())
            await eventually(lambda: harness.mailbox.messages)
            assert not process.ended

    async def test_email_is_recorded_when_postgres_restarts_during_the_smtp_dialogue(
        self, harness: Harness, postgres: PostgresServer
    ) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        await harness.add_jobs(job)
        harness.mailbox.open.clear()
        async with harness.run_process() as process:
            await eventually(lambda: harness.mailbox.waiting == 1)
            postgres.immediate_stop()
            harness.mailbox.open.set()
            await eventually(lambda: "email_not_recorded" in process.events())
            postgres.start()
            await eventually(lambda: "email_sent" in process.events())
        await harness.database.engine.dispose()
        assert [email.state for email in await harness.list_emails()] == ["sent"]
        assert len(harness.mailbox.messages) == 1


class TestMailServer:
    async def test_email_is_sent_when_the_server_recovers(self, harness: Harness) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        await harness.mailbox.stop()
        async with harness.run_worker():
            await harness.add_jobs(job)
            await harness.wait_until(lambda jobs: "SMTP at" in (jobs[0].last_error or ""))
            await harness.mailbox.start()
            await harness.wait_until_done(1)
        assert len(harness.mailbox.messages) == 1

    async def test_job_is_retried_when_the_rejection_is_temporary(self, harness: Harness) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        harness.mailbox.next_responses = ["451 try later"]
        async with harness.run_worker():
            await harness.add_jobs(job)
            (done,) = await harness.wait_until_done(1)
        assert done.attempt == 2
        assert "451" in (done.last_error or "")

    async def test_job_is_dead_and_its_span_records_the_error_when_the_rejection_is_permanent(
        self, harness: Harness, spans: Spans
    ) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        harness.mailbox.next_responses = ["554 no spam here"]
        async with harness.run_worker():
            await harness.add_jobs(job)
            (dead,) = await harness.wait_until_ended(1)
        assert dead.state == "dead"
        assert "554" in (dead.last_error or "")
        (event,) = spans.one("SMTP send").events
        assert event.name == "exception"
        assert set(event.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}

    async def test_job_is_dead_when_the_recipient_is_unknown(self, harness: Harness) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        harness.mailbox.rejected_recipients = ["ada@hopline.example"]
        async with harness.run_worker():
            await harness.add_jobs(job)
            (dead,) = await harness.wait_until(lambda jobs: jobs[0].state == "dead")
        assert dead.last_error is not None
        assert "550" in dead.last_error
        assert "ada@" not in dead.last_error

    @pytest.mark.parametrize("address", ["no address", "a@b\r\nBcc: c@hopline.example", "a@b c"])
    async def test_job_is_dead_when_the_address_is_invalid(self, harness: Harness, address: str) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id, email=address)
        async with harness.run_worker():
            await harness.add_jobs(job)
            (dead,) = await harness.wait_until(lambda jobs: jobs[0].state == "dead")
        assert (dead.last_error or "").startswith("PermanentJobError: ")
        assert "a@b" not in (dead.last_error or "")
