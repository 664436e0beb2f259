import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from opentelemetry.trace import StatusCode
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from shared.messaging import TraceContext
from testkit.metrics import RecordedMetrics
from testkit.spans import Spans
from testkit.waiting import eventually
from workers.dependencies import JobContext
from workers.jobs.backoff import MAX_DELAY_S, backoff_s
from workers.jobs.repository import Claim
from workers.jobs.runner import Runner
from workers.jobs.sweeper import Sweeper
from workers.jobs.types import ATTEMPTS, JOBS_QUEUE, JobType, queue_of
from workers.models import Job
from workers.queue.dispatcher import Dispatcher
from workers.schemas import NewJob, OrderEmail, WelcomeEmail

from .factories import order_data, order_email, welcome_email
from .fakes import add_user
from .harness import Harness


async def _fails(_payload: WelcomeEmail, _claim: Claim, _context: JobContext) -> Sequence[NewJob]:
    raise ValueError("the test failed")


async def _hangs(_payload: WelcomeEmail, _claim: Claim, _context: JobContext) -> Sequence[NewJob]:
    await asyncio.Event().wait()
    return ()


async def _fails_with_unusual_text(_payload: WelcomeEmail, _claim: Claim, _context: JobContext) -> Sequence[NewJob]:
    raise ValueError("NUL \0, lone surrogate \udcdf")


async def _adds_invalid_job(_payload: WelcomeEmail, _claim: Claim, _context: JobContext) -> Sequence[NewJob]:
    return [order_email(order_data(status="NUL \0"))]


async def _works(_payload: WelcomeEmail, _claim: Claim, _context: JobContext) -> Sequence[NewJob]:
    return ()


class TestBackoff:
    @pytest.mark.parametrize(("attempt", "max_delay_s"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10_000, 300)])
    def test_backoff_doubles_up_to_five_minutes_with_jitter(self, attempt: int, max_delay_s: float) -> None:
        pauses = [backoff_s(attempt) for _ in range(200)]
        assert max_delay_s / 2 <= min(pauses) < max(pauses) <= max_delay_s <= MAX_DELAY_S


class TestFailingJob:
    async def test_delay_grows_after_each_failure_until_the_job_is_dead(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with self._runner(harness, attempts=4) as runner:
            for max_delay in (timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4)):
                before = await harness.now()
                await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
                after = await harness.now()
                run_after = (await harness.get_job(queued.job_id)).run_after
                assert before + max_delay / 2 <= run_after <= after + max_delay
                await harness.execute("UPDATE job SET run_after = now()")
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
        job = await harness.get_job(queued.job_id)
        assert (job.state, job.attempt, job.last_error) == ("dead", 4, "ValueError: the test failed")

    async def test_each_attempt_is_recorded_with_its_outcome_and_the_redis_server(
        self, harness: Harness, spans: Spans, metrics: RecordedMetrics
    ) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with self._runner(harness, attempts=2) as runner:
            for _ in range(2):
                await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
                await harness.execute("UPDATE job SET run_after = now()")
        redis_address = harness.redis.get_connection_kwargs()  # type: ignore[no-untyped-call]
        attempts = [span.attributes or {} for span in spans.named("run send_welcome_email")]
        assert [attributes["hopline.job.outcome"] for attributes in attempts] == ["failed", "dead"]
        for attributes in attempts:
            assert attributes["server.address"] == redis_address["host"]
            assert attributes["server.port"] == redis_address["port"]
        for outcome in ("failed", "dead"):
            labels = {"messaging.operation.name": "run", "hopline.job.outcome": outcome}
            assert metrics.value("messaging.process.duration", labels) == 1

    async def test_retry_keeps_the_trace_and_links_to_the_span_that_added_the_job(
        self, harness: Harness, spans: Spans
    ) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        traceparent = f"00-{uuid4().hex}-00f067aa0ba902b7-01"
        await harness.execute("UPDATE job SET traceparent = :traceparent", traceparent=traceparent)
        async with self._runner(harness) as runner:
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
            await harness.execute("UPDATE job SET run_after = now()")
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
        first, second = spans.named("run send_welcome_email")
        producer = TraceContext(traceparent).link()
        assert producer is not None
        for attempt, span in enumerate((first, second), start=1):
            assert span.parent is not None
            assert span.parent.span_id == producer.context.span_id
            assert (span.attributes or {})["hopline.job.attempt"] == attempt
            assert span.status.status_code is StatusCode.ERROR
        assert not first.links
        assert [link.context.span_id for link in second.links] == [producer.context.span_id]

    async def test_attempt_is_stopped_when_it_exceeds_the_timeout(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with self._runner(harness, timeout_s=0.05) as runner:
            await runner.run(queued.job_id, WelcomeEmail.type_name, _hangs)
        job = await harness.get_job(queued.job_id)
        assert (job.state, job.last_error) == ("queued", "JobTimeoutError: The job exceeded its timeout of 0.05 s")

    async def test_error_is_stored_in_escaped_form_when_postgres_cannot_store_its_text(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with self._runner(harness) as runner:
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails_with_unusual_text)
        job = await harness.get_job(queued.job_id)
        assert (job.state, job.last_error) == ("queued", "ValueError: NUL \\u0000, lone surrogate \\udcdf")

    async def test_completion_is_not_repeated_when_postgres_rejects_the_follow_up_job(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with self._runner(harness) as runner:
            with capture_logs() as logs:
                await runner.run(queued.job_id, WelcomeEmail.type_name, _adds_invalid_job)
        # a repeated transaction would log `job_result_not_recorded` as well
        assert [record["event"] for record in logs] == ["job_failed"]
        (job,) = await harness.list_jobs()
        assert (job.state, job.attempt) == ("queued", 1)
        assert "unsupported Unicode escape sequence" in (job.last_error or "")

    async def test_outcome_is_lost_when_the_result_cannot_be_stored(self, harness: Harness, spans: Spans) -> None:
        def add_invalid_job(_payload: WelcomeEmail, _claim: Claim, _error: str) -> Sequence[NewJob]:
            return [order_email(order_data(status="NUL \0"))]

        (queued,) = await harness.add_jobs(welcome_email())
        async with harness.open_runner(
            JobType(payload=WelcomeEmail, attempts=1, on_dead_letter=add_invalid_job)
        ) as runner:
            with pytest.raises(DBAPIError):
                await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
        (span,) = spans.named("run send_welcome_email")
        assert (span.attributes or {})["hopline.job.outcome"] == "lost"
        assert (await harness.get_job(queued.job_id)).state == "running"

    async def test_attempt_is_recorded_as_lost_when_the_worker_stops_after_another_worker_took_the_job(
        self, harness: Harness, spans: Spans
    ) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        started = asyncio.Event()

        async def hang(_payload: WelcomeEmail, _claim: Claim, _context: JobContext) -> Sequence[NewJob]:
            started.set()
            await asyncio.Event().wait()
            return ()

        async with self._runner(harness) as runner:
            running = asyncio.create_task(runner.run(queued.job_id, WelcomeEmail.type_name, hang))
            await started.wait()
            await harness.execute("UPDATE job SET lease_token = gen_random_uuid()")
            running.cancel()
            await asyncio.wait([running])
        (span,) = spans.named("run send_welcome_email")
        assert (span.attributes or {})["hopline.job.outcome"] == "lost"

    async def test_job_is_not_claimed_when_it_is_not_due(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email(delay_s=60))
        async with self._runner(harness) as runner:
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
        assert (await harness.get_job(queued.job_id)).attempt == 0

    @staticmethod
    def _runner(harness: Harness, *, attempts: int = 3, timeout_s: float = 5.0) -> AbstractAsyncContextManager[Runner]:
        return harness.open_runner(JobType(payload=WelcomeEmail, attempts=attempts, timeout_s=timeout_s))


def _add_follow_up(payload: WelcomeEmail, _claim: Claim, error: str) -> Sequence[NewJob]:
    assert error
    return [NewJob(payload=payload.model_copy(update={"user_id": uuid4()}))]


class TestDeadJob:
    """The follow-up jobs of a dead job are added in the transaction that makes it dead."""

    job_type = JobType(payload=WelcomeEmail, attempts=1, on_dead_letter=_add_follow_up)

    async def test_follow_up_is_added_when_the_last_attempt_fails(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with harness.open_runner(self.job_type) as runner:
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
        assert sorted_states(await harness.list_jobs()) == ["dead", "queued"]

    async def test_follow_up_is_added_when_the_last_lease_expires(self, harness: Harness) -> None:
        await harness.add_jobs(welcome_email())
        await expire_leases(harness)
        await sweep(harness, {WelcomeEmail.type_name: self.job_type})
        assert sorted_states(await harness.list_jobs()) == ["dead", "queued"]

    async def test_follow_up_is_added_again_when_a_replayed_job_fails(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with harness.open_runner(self.job_type) as runner:
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
            await harness.execute(
                "UPDATE job SET state = 'queued', attempt = 0, finished_at = NULL WHERE state = 'dead'"
            )
            await runner.run(queued.job_id, WelcomeEmail.type_name, _fails)
        assert sorted_states(await harness.list_jobs()) == ["dead", "queued", "queued"]

    async def test_follow_up_is_not_added_when_the_payload_is_invalid(self, harness: Harness) -> None:
        await harness.add_jobs(welcome_email())
        await expire_leases(harness)
        await harness.execute("UPDATE job SET payload = '{}'")
        await sweep(harness, {WelcomeEmail.type_name: self.job_type})
        assert sorted_states(await harness.list_jobs()) == ["dead"]


async def expire_leases(harness: Harness) -> None:
    """Put all jobs in the state after their worker was killed in the first attempt and the lease expired."""
    await harness.execute(
        "UPDATE job SET state = 'running', attempt = 1, lease_token = gen_random_uuid(), lease_until = now()"
    )


async def sweep(harness: Harness, job_types: Mapping[str, JobType]) -> None:
    """Run one sweep of a worker with these job types."""
    dispatcher = Dispatcher(redis=harness.redis, queue_of=queue_of)
    await Sweeper(database=harness.database, dispatcher=dispatcher, job_types=job_types, every_s=1).sweep()


def sorted_states(jobs: Sequence[Job]) -> list[str]:
    return sorted(job.state for job in jobs)


class TestPoisonJob:
    async def test_job_is_dead_and_others_continue_when_its_payload_is_invalid(self, harness: Harness) -> None:
        poison, good = welcome_email(), order_email()
        add_user(harness.users, good.payload.user_id)
        (queued,) = await harness.add_jobs(poison)
        await harness.execute("UPDATE job SET payload = '{}'")
        await harness.add_jobs(good)
        async with harness.run_worker():
            await harness.wait_until_done(1)
            await harness.wait_until(lambda jobs: "dead" in {job.state for job in jobs})
        job = await harness.get_job(queued.job_id)
        assert job.attempt == 1
        assert "Invalid payload for job type send_welcome_email" in (job.last_error or "")
        assert len(harness.mailbox.messages) == 1


class TestJobOfANewerVersion:
    """During a rollout, workers of the older version receive jobs of the newer version."""

    async def test_job_stays_queued_until_a_worker_has_its_type(self, harness: Harness) -> None:
        unknown, known = welcome_email(), welcome_email()
        for job in (unknown, known):
            add_user(harness.users, job.payload.user_id)
        (queued,) = await harness.add_jobs(unknown)
        await harness.execute("UPDATE job SET kind = 'send_fax', run_after = now() - interval '1 minute'")
        await Dispatcher(redis=harness.redis, queue_of=queue_of).enqueue(replace(queued, type_name="send_fax"))
        async with harness.run_worker():
            await harness.add_jobs(known)
            await harness.wait_until_done(1)
            await eventually(lambda: self._is_queue_empty(harness))
            row = await harness.get_job(queued.job_id)
            assert (row.state, row.attempt) == ("queued", 0)
            await harness.execute("UPDATE job SET kind = 'send_welcome_email' WHERE kind = 'send_fax'")
            await harness.wait_until_done(2)

    async def _is_queue_empty(self, harness: Harness) -> bool:
        return not await harness.redis.zcard(JOBS_QUEUE)

    async def test_job_is_retried_when_its_payload_has_an_unknown_field(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        await harness.execute("""UPDATE job SET payload = payload || '{"colour": "red"}'""")
        async with harness.open_runner(JobType(payload=WelcomeEmail)) as older_runner:
            await older_runner.run(queued.job_id, WelcomeEmail.type_name, _works)
        job = await harness.get_job(queued.job_id)
        error = "UnknownFieldsError: Unknown fields in the payload of send_welcome_email: colour"
        assert (job.state, job.last_error) == ("queued", error)
        assert job.run_after > job.created_at

    async def test_job_is_dead_when_the_field_is_unknown_in_the_last_attempt(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        await harness.execute(
            """UPDATE job SET payload = payload || '{"colour": "red"}', attempt = :attempts - 1""", attempts=ATTEMPTS
        )
        async with harness.open_runner(JobType(payload=WelcomeEmail)) as older_runner:
            await older_runner.run(queued.job_id, WelcomeEmail.type_name, _works)
        assert (await harness.get_job(queued.job_id)).state == "dead"

    async def test_job_of_an_unknown_type_is_queued_again_when_its_lease_expires(self, harness: Harness) -> None:
        await harness.add_jobs(welcome_email())
        await expire_leases(harness)
        await sweep(harness, {OrderEmail.type_name: JobType(payload=OrderEmail)})
        assert sorted_states(await harness.list_jobs()) == ["queued"]


class TestLateJob:
    async def test_job_is_done_when_it_is_days_late(self, harness: Harness) -> None:
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        await harness.add_jobs(job)
        await harness.execute("UPDATE job SET run_after = now() - interval '3 days'")
        async with harness.run_worker():
            await harness.wait_until_done(1)
        assert len(harness.mailbox.messages) == 1
