"""Weaknesses of ARQ alone that the workers remedy. `workers/README.md` lists each weakness with its test."""

import pickle
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from arq.constants import job_key_prefix

from testkit.waiting import eventually
from workers.jobs.sweeper import OVERDUE_S
from workers.jobs.types import JOB_TYPES, JOBS_QUEUE, queue_of
from workers.queue.dispatcher import ARQ_TIMEOUT_S, MARK_S, STUCK_S, arq_id
from workers.settings import Settings

from .factories import welcome_email
from .fakes import add_user
from .harness import Harness

README = Path(__file__).parents[1] / "README.md"
TESTS = Path(__file__).parent

BOUND_S = 15.0
"""Maximum time in seconds until another process completes the job of a killed process."""

MAX_INTERVAL_FACTOR = 1.2
"""The longest pause of a sweeper, as a multiple of its interval."""

START_S = 1.0
"""Time in seconds from enqueuing a job to its start, on a busy machine."""

DELETED_JOB_ID = "6f1c9a52-8a36-4c0e-b7a4-5a0f3a3d9b11"


class TestRecoveryBound:
    """The time is computed from the default settings. `test_recovery` kills workers, but does not measure the time."""

    def test_recovery_is_in_time_when_a_worker_dies_after_its_claim(self) -> None:
        lease_s, sweep_s = self._default("job_lease_seconds"), self._default("sweep_seconds")
        assert lease_s + MAX_INTERVAL_FACTOR * sweep_s + START_S <= BOUND_S

    def test_recovery_is_in_time_when_a_worker_dies_before_its_claim(self) -> None:
        sweep_s = self._default("sweep_seconds")
        assert max(STUCK_S, OVERDUE_S) + MAX_INTERVAL_FACTOR * sweep_s + START_S <= BOUND_S

    def test_mark_of_arq_lasts_longer_than_the_bound(self) -> None:
        """ARQ alone runs the job of a killed worker again only after this mark has expired."""
        assert MARK_S > BOUND_S

    def test_every_timeout_is_shorter_than_that_of_arq(self) -> None:
        assert max(job_type.timeout_s for job_type in JOB_TYPES.values()) < ARQ_TIMEOUT_S

    def _default(self, name: str) -> float:
        return float(Settings.model_fields[name].default)


class TestIdleWorker:
    async def test_idle_worker_wakes_when_a_job_is_enqueued(self, harness: Harness) -> None:
        """Only the wake-up can end the wait, because the timeouts and the sweep interval exceed the test."""
        endless = {"wait_s": 3600, "response_timeout_s": 7200}
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        async with harness.run_worker(redis_options=endless, sweep_seconds=60, shutdown_seconds=1):
            await harness.enqueue(job)
            await harness.wait_until_done(1)


class TestPickle:
    async def test_pickled_entry_is_not_executed(self, harness: Harness, tmp_path: Path) -> None:
        """Unpickling can execute code, so an attacker with access to Redis could run code in the worker."""
        executed = tmp_path / "executed"

        class CodeInPickle:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (executed,)

        planted = pickle.dumps({"t": 1, "f": "send_welcome_email", "a": (CodeInPickle(),), "k": {}, "et": 0})
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        async with harness.run_worker():
            await harness.redis.set(f"{job_key_prefix}planted", planted)
            await harness.redis.zadd(JOBS_QUEUE, {"planted": 1})
            await harness.add_jobs(job)
            await harness.wait_until_done(1)
        assert not executed.exists()
        assert len(harness.mailbox.messages) == 1


class TestKeptResult:
    async def test_replayed_job_runs_when_the_same_attempt_ran_before(self, harness: Harness) -> None:
        """A replayed job starts with its first attempt again, under an id that ARQ has used before."""
        job = welcome_email()
        (queued,) = await harness.add_jobs(job)
        async with harness.run_worker():
            await harness.wait_until(lambda jobs: jobs[0].state == "dead")
            # ARQ deletes its keys after the runner updated the table.
            await eventually(lambda: self._has_no_keys(harness, queued.job_id))
            add_user(harness.users, job.payload.user_id)
            await harness.execute("UPDATE job SET state = 'queued', attempt = 0, run_after = now(), finished_at = NULL")
            (done,) = await harness.wait_until_done(1)
        assert done.attempt == 1

    async def _has_no_keys(self, harness: Harness, job_id: UUID) -> bool:
        return not await harness.redis.keys(f"*{job_id}*")


class TestInvalidEntry:
    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            pytest.param("send_welcome_email", ["no id"], id="invalid job id"),
            pytest.param("send_welcome_email", [], id="no job id"),
            pytest.param("send_welcome_email", [DELETED_JOB_ID], id="deleted job"),
            pytest.param("send_fax", [DELETED_JOB_ID], id="function of another version"),
        ],
    )
    async def test_worker_continues_when_an_entry_cannot_be_run(
        self, harness: Harness, function: str, arguments: list[str]
    ) -> None:
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        async with harness.run_worker() as worker:
            await worker.pool.enqueue_job(function, *arguments, _job_id="unknown")
            await harness.add_jobs(job)
            await harness.wait_until_done(1)


class TestEntryOfAnotherVersion:
    async def test_job_is_enqueued_again_when_its_entry_names_an_old_function(self, harness: Harness) -> None:
        """Workers of version 1 enqueued `run(job_id)`."""
        job = welcome_email()
        add_user(harness.users, job.payload.user_id)
        (queued,) = await harness.add_jobs(job)
        async with harness.run_worker() as worker:
            await worker.pool.enqueue_job("run", str(queued.job_id), _job_id=arq_id(queued))
            (done,) = await harness.wait_until_done(1)
        assert done.attempt == 1


class TestFunctions:
    async def test_functions_have_the_names_of_the_job_types_in_their_queue(self, harness: Harness) -> None:
        main = harness.import_main()
        for settings in (vars(main.WorkerSettings), main.ReportWorkerSettings):
            names = {function.__qualname__ for function in settings["functions"]}
            assert names == {name for name in JOB_TYPES if queue_of(name) == settings["queue_name"]}


class TestReadme:
    def test_every_test_named_in_the_readme_exists(self) -> None:
        named_tests = re.findall(r"`(test_\w+)\.(Test\w+)(?:\.(test_\w+))?`", README.read_text())
        assert len(named_tests) >= 10
        for module, group, test in named_tests:
            source = (TESTS / f"{module}.py").read_text()
            assert f"class {group}:" in source, f"{module} has no {group}"
            assert not test or f"def {test}(" in source, f"{module}.{group} has no {test}"
