"""Reports: what orders is told, and that each comes to one end whatever happens."""

import resource
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from testkit.apps import free_port
from testkit.waiting import eventually
from workers.kinds import KINDS, REPORTS_QUEUE
from workers.reports.schemas import FailReport
from workers.schemas import NewJob
from workers.tasks import fail_report, make_report

from .factories import report_event, report_job, ship, welcome_email
from .report_world import MAKE, ended, files, make
from .standins import person
from .world import World


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Make writes beyond `size_bytes` of a file fail in this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestProgress:
    async def test_is_told_in_steps_that_only_grow(self, world: World) -> None:
        world.orders.desk.orders = 12_000
        await make(world, world.orders.desk.wants("csv"))
        told = world.orders.desk.progress
        assert told == sorted(told)
        assert 8 <= len(told) <= 10
        assert told[-1] < 100


class TestEnds:
    async def test_a_finished_or_forgotten_report_is_left_alone(self, world: World) -> None:
        finished = world.orders.desk.wants()
        world.orders.desk.ends[str(finished)] = "fail"
        for report_id in (finished, UUID(int=1)):
            await make(world, report_id)
        assert {job.state for job in await world.jobs()} == {"done"}
        assert files(world) == []

    @pytest.mark.parametrize("percent", [90, 95])
    async def test_one_that_another_worker_finishes_meanwhile_is_left_to_it(self, world: World, percent: int) -> None:
        world.orders.desk.finished_by_another_at = percent
        await make(world, world.orders.desk.wants())
        assert [job.state for job in await world.jobs()] == ["done"]
        assert "finish" not in [what for what, _ in world.orders.desk.told]
        assert files(world) == []

    async def test_one_that_does_not_fit_on_the_disk_leaves_nothing_and_is_made_later(self, world: World) -> None:
        report_id = world.orders.desk.wants("csv")
        world.orders.desk.orders = 2_000
        (queued,) = await world.add(report_job(report_id))
        async with world.runner(MAKE) as runner:
            with largest_file(64 * 1024):
                await make_report({"runner": runner}, str(queued.job_id))
            job = await world.job(queued.job_id)
            assert job.state == "queued"
            assert (job.last_error or "").startswith("DependencyAway: the object store: ")
            assert files(world) == []
            await world.execute("UPDATE job SET run_after = now()")
            await make_report({"runner": runner}, str(queued.job_id))
        assert (await world.job(queued.job_id)).state == "done"
        assert [path.suffix for path in files(world)] == [".csv"]

    async def test_one_that_cannot_be_made_fails_with_a_reason_for_its_user(self, world: World) -> None:
        report_id = world.orders.desk.wants()
        away = {"object_store_url": "s3://nowhere", "s3_endpoint": f"http://127.0.0.1:{free_port()}"}
        (queued,) = await world.add(report_job(report_id))
        async with world.runner(replace(MAKE, attempts=1), **away, s3_access_key_id="key") as runner:
            await make_report({"runner": runner}, str(queued.job_id))
        assert (await world.job(queued.job_id)).state == "dead"
        async with world.worker():
            assert await ended(world, report_id) == "fail"
        _, body = world.orders.desk.told[-1]
        assert "away for too long" in body["reason"]
        assert "127.0.0.1" not in body["reason"]

    async def test_what_was_made_meanwhile_is_not_called_a_failure(self, world: World) -> None:
        report_id = world.orders.desk.wants()
        world.orders.desk.ends[str(report_id)] = "finish"
        failure = FailReport(user_id=uuid4(), report_id=report_id, reason="the worker died")
        (queued,) = await world.add(NewJob(payload=failure))
        async with world.runner(KINDS[FailReport.kind]) as runner:
            await fail_report({"runner": runner}, str(queued.job_id))
        assert (await world.job(queued.job_id)).state == "done"
        assert world.orders.desk.ends == {str(report_id): "finish"}


class TestQueue:
    async def test_a_long_report_delays_no_email(self, world: World) -> None:
        report_id, greeting = world.orders.desk.wants(), welcome_email()
        person(world.users, greeting.payload.user_id or UUID(int=0))
        world.orders.desk.open.clear()
        async with world.worker(max_jobs="1"), world.worker(queue=REPORTS_QUEUE):
            await ship(world.redis, report_event(report_id))
            await eventually(lambda: world.orders.desk.waiting == 1)
            await world.add(greeting)
            await eventually(lambda: len(world.mailbox.messages) == 1)
            world.orders.desk.open.set()
            assert await ended(world, report_id) == "finish"

    async def test_is_read_by_its_own_worker_only(self, world: World) -> None:
        report_id, greeting = world.orders.desk.wants(), welcome_email()
        person(world.users, greeting.payload.user_id or UUID(int=0))
        async with world.worker():
            await world.add(report_job(report_id), greeting)
            await eventually(lambda: world.mailbox.messages)
            await eventually(lambda: world.redis.zcard(REPORTS_QUEUE))
        assert world.orders.desk.told == []


class TestKilledWorker:
    @pytest.mark.parametrize("crash_point", ["report.after_progress", "report.before_put", "report.after_put"])
    async def test_another_one_makes_one_file_and_says_so_once(self, world: World, crash_point: str) -> None:
        report_id = world.orders.desk.wants()
        async with AsyncExitStack() as stack:
            await world.add(report_job(report_id))
            await stack.enter_async_context(world.worker())
            doomed = await stack.enter_async_context(
                world.process("ReportWorkerSettings", CRASH_AT=crash_point, JOB_LEASE_SECONDS="1")
            )
            assert await doomed.wait() == 137
            assert world.orders.desk.ends == {}
            await stack.enter_async_context(world.worker(queue=REPORTS_QUEUE))
            assert await ended(world, report_id) == "finish"
        assert [what for what, _ in world.orders.desk.told].count("finish") == 1
        assert world.objects / f"reports/{report_id}.csv" in files(world)
        assert not [file for file in files(world) if file.suffix == ".part"]

    async def test_one_that_is_told_to_go_releases_its_report(self, world: World) -> None:
        (queued,) = await world.add(report_job(world.orders.desk.wants()))
        world.orders.desk.open.clear()
        async with world.worker(), world.process("ReportWorkerSettings", SHUTDOWN_SECONDS="1") as process:
            await eventually(lambda: world.orders.desk.waiting == 1)
            process.send(signal.SIGTERM)
            assert await process.wait() == 0, process.output
            job = await world.job(queued.job_id)
        assert (job.state, job.attempt) == ("queued", 0)
        assert files(world) == []
