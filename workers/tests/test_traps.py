"""What ARQ alone does wrong, and what is done about it; the README's table says where each trap is tested."""

import pickle
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from arq.constants import job_key_prefix

from testkit.waiting import eventually
from workers import arq_redis
from workers.dispatch import ARQ_TIMEOUT_S, MARK_S, STUCK_S, arq_id
from workers.kinds import KINDS, queue_of
from workers.settings import Settings
from workers.sweeper import OVERDUE_S

from .factories import welcome_email
from .standins import person
from .world import World

README = Path(__file__).parents[1] / "README.md"
TESTS = Path(__file__).parent

BOUND_S = 15.0
"""How long after a kill -9 the killed process's work may take to be done elsewhere (docs/architecture.md)."""

LATEST_SWEEP = 1.2
"""A sweeper pauses at most so many times its interval."""

START_S = 1.0
"""What a job may take to start once it is enqueued, on a busy machine."""


class TestRecoveryBound:
    """By arithmetic over the settings as shipped: `test_recovery` kills workers, and waits as long as it takes."""

    def test_killed_after_its_claim(self) -> None:
        lease_s, sweep_s = self._shipped("job_lease_seconds"), self._shipped("sweep_seconds")
        assert lease_s + LATEST_SWEEP * sweep_s + START_S <= BOUND_S

    def test_killed_before_its_claim(self) -> None:
        sweep_s = self._shipped("sweep_seconds")
        assert max(STUCK_S, OVERDUE_S) + LATEST_SWEEP * sweep_s + START_S <= BOUND_S

    def test_does_not_wait_for_arqs_own_mark(self) -> None:
        """ARQ alone would: it runs a killed worker's job again when the mark of its longest job has run out."""
        assert MARK_S > BOUND_S

    def test_every_job_ends_before_arq_would_stop_it(self) -> None:
        assert max(kind.timeout_s for kind in KINDS.values()) < ARQ_TIMEOUT_S

    def _shipped(self, name: str) -> float:
        return float(Settings.model_fields[name].default)


class TestIdleWorker:
    async def test_is_woken_by_a_job(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """With no other end of its wait, and without a sweeper that would bring the job."""
        monkeypatch.setattr(arq_redis, "WAIT_S", 3600)
        monkeypatch.setattr(arq_redis, "RESPONSE_TIMEOUT_S", 3600.0)
        job = welcome_email()
        person(world.users, job.payload.user_id)
        async with world.worker(sweep_seconds=60, shutdown_seconds=1):
            await world.enqueue(job)
            await world.until_done(1)


class TestPickle:
    async def test_is_not_read_from_redis(self, world: World, tmp_path: Path) -> None:
        """Unpickling runs what it finds: whoever can write to Redis could run anything in the worker."""
        trace = tmp_path / "it-was-run"

        class Attack:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (trace,)

        planted = pickle.dumps({"t": 1, "f": "send_welcome_email", "a": (Attack(),), "k": {}, "et": 0})
        job = welcome_email()
        person(world.users, job.payload.user_id)
        async with world.worker():
            await world.redis.set(f"{job_key_prefix}planted", planted)
            await world.redis.zadd("hopline:jobs", {"planted": 1})
            await world.add(job)
            await world.until_done(1)
        assert not trace.exists()
        assert len(world.mailbox.messages) == 1


class TestKeptResult:
    async def test_does_not_block_the_same_attempt(self, world: World) -> None:
        """A replayed job starts at its first attempt again, under the id that ARQ has known before."""
        job = welcome_email()
        (queued,) = await world.add(job)
        async with world.worker():
            await world.until(lambda jobs: jobs[0].state == "dead")
            await eventually(lambda: self._is_forgotten(world, queued.job_id))  # by ARQ, after the ledger knows
            person(world.users, job.payload.user_id)
            await world.execute("UPDATE job SET state = 'queued', attempt = 0, run_after = now(), finished_at = NULL")
            (done,) = await world.until_done(1)
        assert done.attempt == 1

    async def _is_forgotten(self, world: World, job_id: UUID) -> bool:
        return not await world.redis.keys(f"*{job_id}*")


class TestStrangeEntry:
    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            ("send_welcome_email", ["no id"]),
            ("send_welcome_email", []),
            ("send_welcome_email", ["6f1c9a52-8a36-4c0e-b7a4-5a0f3a3d9b11"]),
            ("send_fax", ["6f1c9a52-8a36-4c0e-b7a4-5a0f3a3d9b11"]),
        ],
    )
    async def test_harms_nobody(self, world: World, function: str, arguments: list[str]) -> None:
        """An entry for no job, for one that was deleted, or for a function of another version."""
        job = welcome_email()
        person(world.users, job.payload.user_id)
        async with world.worker() as worker:
            await worker.pool.enqueue_job(function, *arguments, _job_id="strange")
            await world.add(job)
            await world.until_done(1)


class TestEntryOfAnotherVersion:
    async def test_of_the_single_function_is_enqueued_again_by_its_name(self, world: World) -> None:
        """Entries that a worker of version 1 left behind: `run(job_id)`."""
        job = welcome_email()
        person(world.users, job.payload.user_id)
        (queued,) = await world.add(job)
        async with world.worker() as worker:
            await worker.pool.enqueue_job("run", str(queued.job_id), _job_id=arq_id(queued))
            (done,) = await world.until_done(1)
        assert done.attempt == 1


class TestFunctions:
    async def test_have_the_names_of_the_jobs_in_their_queue(self, world: World) -> None:
        main = world.main()
        for settings in (vars(main.WorkerSettings), main.ReportWorkerSettings):
            names = {function.__qualname__ for function in settings["functions"]}
            assert names == {kind for kind in KINDS if queue_of(kind) == settings["queue_name"]}


class TestTable:
    def test_every_test_that_the_readme_names_exists(self) -> None:
        named = re.findall(r"`(test_\w+)\.(Test\w+)(?:\.(test_\w+))?`", README.read_text())
        assert len(named) >= 10
        for module, group, test in named:
            source = (TESTS / f"{module}.py").read_text()
            assert f"class {group}:" in source, f"{module} has no {group}"
            assert not test or f"def {test}(" in source, f"{module}.{group} has no {test}"
