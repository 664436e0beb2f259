"""The report jobs and their calls to orders. Each report gets one final status, also after failures."""

import resource
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.faults.crash_points import CRASHED
from testkit.apps import free_port
from testkit.waiting import eventually
from workers.jobs.types import JOB_TYPES, REPORTS_QUEUE
from workers.reports.schemas import FailReport
from workers.schemas import NewJob
from workers.tasks import fail_report, make_report

from .factories import append_event, report_event, report_job, welcome_email
from .fakes import add_user
from .harness import Harness
from .report_jobs import MAKE_REPORT, list_files, run_report_job, wait_for_end


@contextmanager
def limit_file_size(size_bytes: int) -> Iterator[None]:
    """Make writes beyond `size_bytes` of a file fail in this process, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestProgress:
    async def test_progress_is_reported_in_increasing_steps(self, harness: Harness) -> None:
        harness.orders.reports.orders = 12_000  # many pages
        await run_report_job(harness, harness.orders.reports.add_report("csv"))
        reported = harness.orders.reports.progress
        assert reported == sorted(reported)
        assert 8 <= len(reported) <= 10  # at most one per 10 percent, because each is a call
        assert reported[-1] < 100  # the call that finishes the report sets 100


class TestFinalStatus:
    async def test_report_is_not_generated_when_it_is_finished_or_deleted(self, harness: Harness) -> None:
        finished = harness.orders.reports.add_report()
        harness.orders.reports.ends[str(finished)] = "fail"
        deleted = uuid4()
        for report_id in (finished, deleted):
            await run_report_job(harness, report_id)
        assert {job.state for job in await harness.list_jobs()} == {"done"}
        assert list_files(harness) == []

    @pytest.mark.parametrize("percent", [90, 95])
    async def test_file_is_discarded_when_another_worker_finishes_the_report(
        self, harness: Harness, percent: int
    ) -> None:
        harness.orders.reports.finished_by_another_at = percent
        await run_report_job(harness, harness.orders.reports.add_report())
        assert [job.state for job in await harness.list_jobs()] == ["done"]
        assert "finish" not in [action for action, _ in harness.orders.reports.calls]
        assert list_files(harness) == []

    async def test_attempt_is_repeated_and_leaves_no_file_when_the_disk_is_full(self, harness: Harness) -> None:
        report_id = harness.orders.reports.add_report("csv")
        harness.orders.reports.orders = 2_000
        (queued,) = await harness.add_jobs(report_job(report_id))
        async with harness.open_runner(MAKE_REPORT) as runner:
            with limit_file_size(64 * 1024):
                await make_report({"runner": runner}, str(queued.job_id))
            job = await harness.get_job(queued.job_id)
            assert job.state == "queued"
            assert (job.last_error or "").startswith("DependencyUnavailableError: the object store: ")
            assert list_files(harness) == []
            await harness.execute("UPDATE job SET run_after = now()")
            await make_report({"runner": runner}, str(queued.job_id))
        assert (await harness.get_job(queued.job_id)).state == "done"
        assert [path.suffix for path in list_files(harness)] == [".csv"]

    async def test_report_fails_with_a_reason_when_the_store_is_unavailable(self, harness: Harness) -> None:
        report_id = harness.orders.reports.add_report()
        unavailable = {
            "object_store_url": "s3://nowhere",
            "s3_endpoint": f"http://127.0.0.1:{free_port()}",
            "s3_access_key_id": "key",
            "s3_secret_access_key": "secret",
        }
        job = await run_report_job(harness, report_id, job_type=replace(MAKE_REPORT, attempts=1), settings=unavailable)
        assert job.state == "dead"
        async with harness.run_worker():
            assert await wait_for_end(harness, report_id) == "fail"
        _, body = harness.orders.reports.calls[-1]
        assert "unavailable for too long" in body["reason"]
        assert "127.0.0.1" not in body["reason"]

    async def test_report_fails_with_a_reason_when_it_exceeds_its_timeout(self, harness: Harness) -> None:
        report_id = harness.orders.reports.add_report()
        harness.orders.reports.open.clear()
        job = await run_report_job(harness, report_id, job_type=replace(MAKE_REPORT, attempts=1, timeout_s=0.5))
        harness.orders.reports.open.set()
        assert (job.state, job.last_error) == ("dead", "JobTimeoutError: The job exceeded its timeout of 0.5 s")
        async with harness.run_worker():
            assert await wait_for_end(harness, report_id) == "fail"
        _, body = harness.orders.reports.calls[-1]
        assert "unavailable for too long" in body["reason"]

    async def test_report_stays_finished_when_a_failure_is_reported_later(self, harness: Harness) -> None:
        report_id = harness.orders.reports.add_report()
        harness.orders.reports.ends[str(report_id)] = "finish"
        failure = FailReport(user_id=uuid4(), report_id=report_id, reason="the worker died")
        (queued,) = await harness.add_jobs(NewJob(payload=failure))
        async with harness.open_runner(JOB_TYPES[FailReport.type_name]) as runner:
            await fail_report({"runner": runner}, str(queued.job_id))
        assert (await harness.get_job(queued.job_id)).state == "done"
        assert harness.orders.reports.ends == {str(report_id): "finish"}


class TestQueue:
    async def test_email_is_sent_while_a_report_is_running(self, harness: Harness) -> None:
        report_id, email = harness.orders.reports.add_report(), welcome_email()
        add_user(harness.users, email.payload.user_id)
        harness.orders.reports.open.clear()
        async with harness.run_worker(max_jobs="1"), harness.run_worker(queue=REPORTS_QUEUE):
            await append_event(harness.redis, report_event(report_id))
            await eventually(lambda: harness.orders.reports.waiting == 1)
            await harness.add_jobs(email)
            await eventually(lambda: len(harness.mailbox.messages) == 1)
            harness.orders.reports.open.set()
            assert await wait_for_end(harness, report_id) == "finish"

    async def test_report_stays_queued_when_no_report_worker_runs(self, harness: Harness) -> None:
        report_id, email = harness.orders.reports.add_report(), welcome_email()
        add_user(harness.users, email.payload.user_id)
        async with harness.run_worker():
            await harness.add_jobs(report_job(report_id), email)
            await eventually(lambda: harness.mailbox.messages)
            await eventually(lambda: harness.redis.zcard(REPORTS_QUEUE))
        assert harness.orders.reports.calls == []


class TestKilledWorker:
    @pytest.mark.parametrize("crash_point", ["report.after_progress", "report.before_put", "report.after_put"])
    async def test_another_worker_generates_one_file_when_the_first_is_killed(
        self, harness: Harness, crash_point: str
    ) -> None:
        report_id = harness.orders.reports.add_report()
        async with AsyncExitStack() as stack:
            await harness.add_jobs(report_job(report_id))
            await stack.enter_async_context(harness.run_worker())
            killed = await stack.enter_async_context(
                harness.run_process("ReportWorkerSettings", CRASH_AT=crash_point, JOB_LEASE_SECONDS="1")
            )
            assert await killed.wait() == CRASHED
            assert harness.orders.reports.ends == {}
            await stack.enter_async_context(harness.run_worker(queue=REPORTS_QUEUE))
            assert await wait_for_end(harness, report_id) == "finish"
        assert [action for action, _ in harness.orders.reports.calls].count("finish") == 1
        assert harness.objects / f"reports/{report_id}.csv" in list_files(harness)
        assert not [file for file in list_files(harness) if file.suffix == ".part"]

    async def test_report_is_released_when_the_worker_stops(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(report_job(harness.orders.reports.add_report()))
        harness.orders.reports.open.clear()
        async with harness.run_worker(), harness.run_process("ReportWorkerSettings", SHUTDOWN_SECONDS="1") as process:
            await eventually(lambda: harness.orders.reports.waiting == 1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0, process.output
            job = await harness.get_job(queued.job_id)
        assert (job.state, job.attempt) == ("queued", 0)
        assert list_files(harness) == []
