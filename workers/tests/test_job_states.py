"""The ledger as a state machine on a real PostgreSQL: workers that crash, freeze and thaw, sweepers, a clock, people.

A crash is a claim that nobody uses any more, a freeze one that is used later. The clock goes on by moving every time
in the ledger into the past; the steps are so large that the seconds a test takes do not matter.
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

from shared.database import async_url
from testkit.databases import MigratedDatabase
from workers.ledger import Claim, JobLedger
from workers.models import Job
from workers.schemas import WelcomeEmail

from .factories import welcome_email

LEASE_S = 3600.0
MOST_ATTEMPTS = 3
STEPS_S = st.sampled_from([701.0, 1913.0, 4001.0])
PAUSES_S = st.sampled_from([0.0, 997.0])
"""No sum of steps comes near a lease or a pause, so that it is always clear what has run out."""

T = TypeVar("T")


@dataclass
class Expected:
    """What one job must be."""

    state: str = "queued"
    attempt: int = 0
    due_at: float = 0.0
    lease_until: float = 0.0
    token: UUID | None = None

    def queue(self, *, due_at: float, attempt: int | None = None) -> None:
        self.state, self.token, self.due_at = "queued", None, due_at
        self.attempt = self.attempt if attempt is None else attempt

    def end(self, state: str) -> None:
        self.state, self.token = state, None


class LedgerMachine(RuleBasedStateMachine):
    """Every step is one committed transaction; the invariant compares the whole ledger with what is expected."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.engine = create_async_engine(async_url(url))
        self.now = 0.0
        self.expected: dict[UUID, Expected] = {}
        self.done(self._clear())

    def done(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    async def _clear(self) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text("TRUNCATE job CASCADE"))

    async def _with_ledger(self, name: str, *arguments: Any, roll_back: bool = False, **options: Any) -> Any:
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            result = await getattr(JobLedger(session), name)(*arguments, **options)
            await (session.rollback() if roll_back else session.commit())
            return result

    def ledger(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call one method of the ledger in a transaction of its own."""
        return self.done(self._with_ledger(name, *arguments, **options))

    def holds(self, claim: Claim) -> bool:
        return self.expected[claim.job_id].token == claim.lease_token

    @rule(target=jobs, delay_s=PAUSES_S)
    def add(self, delay_s: float) -> UUID:
        new = welcome_email(delay_s=delay_s)
        (queued,) = self.ledger("add", new)
        assert self.ledger("add", new) == []
        self.expected[queued.job_id] = Expected(due_at=self.now + delay_s)
        job_id: UUID = queued.job_id
        return job_id

    @rule(target=claims, job=jobs)
    def claim(self, job: UUID) -> Any:
        expected = self.expected[job]
        claim: Claim | None = self.ledger("claim", job, kind=WelcomeEmail.kind, lease_s=LEASE_S)
        assert (claim is not None) == (expected.state == "queued" and expected.due_at <= self.now)
        if claim is None:
            return multiple()
        expected.state, expected.token = "running", claim.lease_token
        expected.attempt, expected.lease_until = expected.attempt + 1, self.now + LEASE_S
        return claim

    @rule(job=jobs)
    def claim_and_crash_before_the_commit(self, job: UUID) -> None:
        self.ledger("claim", job, kind=WelcomeEmail.kind, lease_s=LEASE_S, roll_back=True)

    @rule(claim=claims)
    def complete(self, claim: Claim) -> None:
        held = self.holds(claim)
        assert self.ledger("complete", claim) == held
        if held:
            self.expected[claim.job_id].end("done")

    @rule(claim=claims)
    def crash_before_the_completion_commits(self, claim: Claim) -> None:
        self.ledger("complete", claim, roll_back=True)

    @rule(claim=claims, delay_s=PAUSES_S)
    def fail(self, claim: Claim, delay_s: float) -> None:
        held = self.holds(claim)
        assert (self.ledger("retry", claim, delay_s=delay_s, error="not today") is not None) == held
        if held:
            self.expected[claim.job_id].queue(due_at=self.now + delay_s)

    @rule(claim=claims)
    def bury(self, claim: Claim) -> None:
        held = self.holds(claim)
        assert self.ledger("bury", claim, error="never") == held
        if held:
            self.expected[claim.job_id].end("dead")

    @rule(claim=claims)
    def release(self, claim: Claim) -> None:
        held, expected = self.holds(claim), self.expected[claim.job_id]
        assert self.ledger("release", claim) == held
        if held:
            expected.queue(due_at=expected.due_at, attempt=expected.attempt - 1)

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        held = self.holds(claim)
        assert self.ledger("renew", [claim.lease_token], lease_s=LEASE_S) == ({claim.lease_token} if held else set())
        if held:
            self.expected[claim.job_id].lease_until = self.now + LEASE_S

    @rule(limit=st.sampled_from([1, 10]))
    def sweep(self, limit: int) -> None:
        self.done(self._sweep(limit))

    async def _sweep(self, limit: int) -> int:
        lost = [one for one in self.expected.items() if one[1].state == "running" and one[1].lease_until < self.now]
        lost.sort(key=lambda one: one[1].lease_until)
        async with AsyncSession(self.engine) as session, session.begin():
            ledger = JobLedger(session)
            taken = await ledger.take_expired(limit=limit)
            assert len(taken) == min(limit, len(lost))
            for claim in taken:
                expected = self.expected[claim.job_id]
                assert expected.lease_until <= lost[len(taken) - 1][1].lease_until
                if claim.attempt >= MOST_ATTEMPTS:
                    assert await ledger.bury(claim, error="lost")
                    expected.end("dead")
                else:
                    assert await ledger.retry(claim, delay_s=0, error="lost")
                    expected.queue(due_at=self.now)
        return len(taken)

    @rule(job=jobs)
    def replay(self, job: UUID) -> None:
        expected = self.expected[job]
        assert self.ledger("replay", job) == (expected.state == "dead")
        if expected.state == "dead":
            expected.queue(due_at=self.now, attempt=0)

    @rule(seconds=STEPS_S)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.done(self._move(seconds))

    async def _move(self, seconds: float) -> None:
        earlier = "make_interval(secs => :seconds)"
        moved = f"UPDATE job SET run_after = run_after - {earlier}, lease_until = lease_until - {earlier}"  # noqa: S608
        async with self.engine.begin() as connection:
            await connection.execute(text(moved), {"seconds": seconds})

    @invariant()
    def ledger_is_as_expected(self) -> None:
        found = self.done(self._found())
        assert found == {job: (one.state, one.attempt, one.token) for job, one in self.expected.items()}

    async def _found(self) -> dict[UUID, tuple[str, int, UUID | None]]:
        async with AsyncSession(self.engine) as session:
            rows = await session.execute(select(Job.id, Job.state, Job.attempt, Job.lease_token))
            return {job_id: (state, attempt, token) for job_id, state, attempt, token in rows}

    def teardown(self) -> None:
        """Whatever has happened: give it time and working workers, and every job comes to its end."""
        try:
            self.time_passes(100_003.0)
            while self.done(self._sweep(10)):
                pass
            for queued in self.ledger("overdue", by_s=0, limit=100, kinds=[WelcomeEmail.kind]):
                self.complete(self.claim(queued.job_id))
            assert {one.state for one in self.expected.values()} <= {"done", "dead"}
            self.ledger_is_as_expected()
        finally:
            self.done(self.engine.dispose())
            self.loop.close()


@pytest.fixture
async def ledger_url(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("workers")


def test_one_holder_at_a_time_one_completion_and_nothing_is_lost(ledger_url: str) -> None:
    class OverThisLedger(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(ledger_url)

    run_state_machine_as_test(
        OverThisLedger,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
