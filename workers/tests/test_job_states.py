"""The job table as a state machine on a real PostgreSQL, with workers that crash and freeze, sweepers and operators.

A claim that is not used again simulates a crash. A claim that is used later simulates a freeze. The clock advances by
moving all times in the table into the past. Its steps are larger than the duration of a test.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from shared.db.urls import async_url
from testkit.databases import MigratedDatabase
from workers.jobs.repository import Claim, JobRepository
from workers.models import Job
from workers.schemas import WelcomeEmail

from .factories import welcome_email

LEASE_S = 3600.0
MAX_ATTEMPTS = 3
CLOCK_STEPS_S = st.sampled_from([701.0, 1913.0, 4001.0])
DELAYS_S = st.sampled_from([0.0, 997.0])
"""Steps of the clock, and delays of jobs. No sum of steps is close to a lease or a delay, so the order is certain."""

ALL_LEASES_EXPIRE_S = 100_003.0
"""A step of the clock that exceeds each lease and each delay."""

T = TypeVar("T")


@dataclass
class ExpectedJob:
    """The expected state of one job."""

    state: str = "queued"
    attempt: int = 0
    due_at: float = 0.0
    lease_until: float = 0.0
    token: UUID | None = None

    def queue(self, *, due_at: float, attempt: int | None = None) -> None:
        """Change to `queued`. By default, the number of attempts stays."""
        self.state, self.token, self.due_at = "queued", None, due_at
        self.attempt = self.attempt if attempt is None else attempt

    def end(self, state: str) -> None:
        self.state, self.token = state, None


class JobStateMachine(RuleBasedStateMachine):
    """Each rule is one transaction. The invariant compares the whole table with the expected jobs."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.engine = create_async_engine(async_url(url))
        self.now = 0.0
        self.expected: dict[UUID, ExpectedJob] = {}
        self.run_async(self._clear())

    def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _clear(self) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text("TRUNCATE job CASCADE"))

    async def _call_repository(self, name: str, *arguments: Any, roll_back: bool = False, **options: Any) -> Any:
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            result = await getattr(JobRepository(session=session), name)(*arguments, **options)
            await (session.rollback() if roll_back else session.commit())
            return result

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call one method of the repository in a separate transaction."""
        return self.run_async(self._call_repository(name, *arguments, **options))

    def has_lease(self, claim: Claim) -> bool:
        return self.expected[claim.job_id].token == claim.lease_token

    @rule(target=jobs, delay_s=DELAYS_S)
    def add(self, delay_s: float) -> UUID:
        new = welcome_email(delay_s=delay_s)
        (queued,) = self.call("add", new)
        assert self.call("add", new) == []
        self.expected[queued.job_id] = ExpectedJob(due_at=self.now + delay_s)
        job_id: UUID = queued.job_id
        return job_id

    @rule(target=claims, job=jobs)
    def claim(self, job: UUID) -> Any:
        expected = self.expected[job]
        claim: Claim | None = self.call("claim", job, type_name=WelcomeEmail.type_name, lease_s=LEASE_S)
        assert (claim is not None) == (expected.state == "queued" and expected.due_at <= self.now)
        if claim is None:
            return multiple()
        expected.state, expected.token = "running", claim.lease_token
        expected.attempt, expected.lease_until = expected.attempt + 1, self.now + LEASE_S
        return claim

    @rule(job=jobs)
    def claim_and_crash_before_the_commit(self, job: UUID) -> None:
        self.call("claim", job, type_name=WelcomeEmail.type_name, lease_s=LEASE_S, roll_back=True)

    @rule(claim=claims)
    def complete(self, claim: Claim) -> None:
        held = self.has_lease(claim)
        assert self.call("complete", claim) == held
        if held:
            self.expected[claim.job_id].end("done")

    @rule(claim=claims)
    def crash_before_the_completion_commits(self, claim: Claim) -> None:
        self.call("complete", claim, roll_back=True)

    @rule(claim=claims, delay_s=DELAYS_S)
    def fail(self, claim: Claim, delay_s: float) -> None:
        held = self.has_lease(claim)
        assert (self.call("retry", claim, delay_s=delay_s, error="the test failed") is not None) == held
        if held:
            self.expected[claim.job_id].queue(due_at=self.now + delay_s)

    @rule(claim=claims)
    def dead_letter(self, claim: Claim) -> None:
        held = self.has_lease(claim)
        assert self.call("dead_letter", claim, error="never") == held
        if held:
            self.expected[claim.job_id].end("dead")

    @rule(claim=claims)
    def release(self, claim: Claim) -> None:
        held, expected = self.has_lease(claim), self.expected[claim.job_id]
        assert self.call("release", claim) == held
        if held:
            expected.queue(due_at=expected.due_at, attempt=expected.attempt - 1)

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        held = self.has_lease(claim)
        assert self.call("renew", [claim.lease_token], lease_s=LEASE_S) == ({claim.lease_token} if held else set())
        if held:
            self.expected[claim.job_id].lease_until = self.now + LEASE_S

    @rule(limit=st.sampled_from([1, 10]))
    def sweep(self, limit: int) -> None:
        self.run_async(self._sweep(limit))

    async def _sweep(self, limit: int) -> int:
        expiries = sorted(
            job.lease_until for job in self.expected.values() if job.state == "running" and job.lease_until < self.now
        )
        async with AsyncSession(self.engine) as session, session.begin():
            repository = JobRepository(session=session)
            taken = await repository.take_expired(limit=limit)
            assert len(taken) == min(limit, len(expiries))
            for claim in taken:
                expected = self.expected[claim.job_id]
                assert expected.lease_until <= expiries[len(taken) - 1]  # the oldest are taken first
                if claim.attempt >= MAX_ATTEMPTS:
                    assert await repository.dead_letter(claim, error="lost")
                    expected.end("dead")
                else:
                    assert await repository.retry(claim, delay_s=0, error="lost")
                    expected.queue(due_at=self.now)
        return len(taken)

    @rule(job=jobs)
    def replay(self, job: UUID) -> None:
        expected = self.expected[job]
        assert self.call("replay", job) == (expected.state == "dead")
        if expected.state == "dead":
            expected.queue(due_at=self.now, attempt=0)

    @rule(seconds=CLOCK_STEPS_S)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.run_async(self._move(seconds))

    async def _move(self, seconds: float) -> None:
        earlier = "make_interval(secs => :seconds)"
        statement = f"UPDATE job SET run_after = run_after - {earlier}, lease_until = lease_until - {earlier}"  # noqa: S608
        async with self.engine.begin() as connection:
            await connection.execute(text(statement), {"seconds": seconds})

    @invariant()
    def jobs_are_as_expected(self) -> None:
        assert self.run_async(self._read_jobs()) == {
            job: (expected.state, expected.attempt, expected.token) for job, expected in self.expected.items()
        }

    async def _read_jobs(self) -> dict[UUID, tuple[str, int, UUID | None]]:
        async with AsyncSession(self.engine) as session:
            rows = await session.execute(select(Job.id, Job.state, Job.attempt, Job.lease_token))
            return {job_id: (state, attempt, token) for job_id, state, attempt, token in rows}

    def teardown(self) -> None:
        """Let all leases expire and complete all due jobs. Every job must be done or dead afterwards."""
        try:
            self.time_passes(ALL_LEASES_EXPIRE_S)
            while self.run_async(self._sweep(10)):
                pass
            for queued in self.call("list_overdue", by_s=0, limit=100, type_names=[WelcomeEmail.type_name]):
                self.complete(self.claim(queued.job_id))
            assert {expected.state for expected in self.expected.values()} <= {"done", "dead"}
            self.jobs_are_as_expected()
        finally:
            self.run_async(self.engine.dispose())
            self.runner.close()


@pytest.fixture
async def database_url(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("workers")


def test_every_job_has_one_claim_at_a_time_and_ends_once(database_url: str) -> None:
    class BoundMachine(JobStateMachine):
        def __init__(self) -> None:
            super().__init__(database_url)

    run_state_machine_as_test(
        BoundMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
