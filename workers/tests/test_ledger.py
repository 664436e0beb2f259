"""The ledger against a model of it: any order of claims, ends, stale writes and lost leases."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.ledger import Claim, JobLedger, QueuedJob
from workers.schemas import NewJob

from .factories import welcome_email
from .world import World

LEASE_S = 60.0

Step = Literal["claim", "complete", "retry", "bury", "release", "renew", "expire", "stale"]
steps = st.lists(
    st.sampled_from(["claim", "complete", "retry", "bury", "release", "renew", "expire", "stale"]), max_size=25
)


@dataclass
class Model:
    """What one job must be after each step; `stale` are claims that have lost their lease or were ended."""

    state: str = "queued"
    attempt: int = 0
    held: Claim | None = None
    stale: list[Claim] = field(default_factory=list)

    def end(self, state: str, *, attempt: int | None = None) -> None:
        assert self.held is not None
        self.stale.append(self.held)
        self.held, self.state = None, state
        self.attempt = self.attempt if attempt is None else attempt


class TestJobLedger:
    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(steps=steps)
    async def test_one_holder_at_a_time_and_no_write_by_another(self, world: World, steps: list[Step]) -> None:
        (queued,) = await world.add(welcome_email())
        model = Model()
        for step in steps:
            await self._take(world, queued, model, step)
            job = await world.job(queued.job_id)
            assert (job.state, job.attempt) == (model.state, model.attempt), step
            assert job.lease_token == (model.held.lease_token if model.held else None)

    async def _take(self, world: World, queued: QueuedJob, model: Model, step: Step) -> None:
        async with world.database.transaction() as session:
            ledger = JobLedger(session)
            if step == "claim":
                claim = await ledger.claim(queued.job_id, lease_s=LEASE_S)
                assert (claim is not None) == (model.state == "queued")
                if claim:
                    model.held, model.state, model.attempt = claim, "running", claim.attempt
            elif step == "stale" and model.stale:
                for claim in model.stale:
                    assert not await ledger.complete(claim)
                    assert not await ledger.bury(claim, error="stale")
                    assert not await ledger.retry(claim, delay_s=0, error="stale")
                    assert not await ledger.release(claim)
                    assert not await ledger.renew([claim.lease_token], lease_s=LEASE_S)
            elif model.held:
                await self._end(ledger, model, model.held, step)

    async def _end(self, ledger: JobLedger, model: Model, claim: Claim, step: Step) -> None:
        if step == "complete":
            assert await ledger.complete(claim)
            model.end("done")
        elif step == "bury":
            assert await ledger.bury(claim, error="enough")
            model.end("dead")
        elif step == "retry":
            assert await ledger.retry(claim, delay_s=0, error="again")
            model.end("queued")
        elif step == "release":
            assert await ledger.release(claim)
            model.end("queued", attempt=model.attempt - 1)
        elif step == "renew":
            assert await ledger.renew([claim.lease_token], lease_s=LEASE_S) == {claim.lease_token}
        elif step == "expire":
            await ledger.renew([claim.lease_token], lease_s=-1)
            (taken,) = await ledger.take_expired(limit=10)
            assert not await ledger.complete(claim)
            assert await ledger.retry(taken, delay_s=0, error="lost")
            model.end("queued")

    async def test_of_many_claims_at_once_one_succeeds(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())

        async def claim() -> Claim | None:
            async with world.database.transaction() as session:
                return await JobLedger(session).claim(queued.job_id, lease_s=LEASE_S)

        claims = await asyncio.gather(*(claim() for _ in range(8)))
        assert len([claim for claim in claims if claim]) == 1

    async def test_of_two_sweepers_at_once_one_takes_the_job(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        async with world.database.transaction() as session:
            await JobLedger(session).claim(queued.job_id, lease_s=-1)
        async with world.database.transaction() as one, world.database.transaction() as other:
            taken = await JobLedger(one).take_expired(limit=10)
            assert await JobLedger(other).take_expired(limit=10) == []
            await JobLedger(one).bury(taken[0], error="lost")

    async def test_known_dedupe_key_adds_nothing(self, world: World) -> None:
        job: NewJob = welcome_email()
        assert len(await world.add(job, job, welcome_email())) == 2
        assert await world.add(job) == []

    async def test_overdue_are_those_nobody_claims_the_oldest_first(self, world: World) -> None:
        jobs = await world.add(welcome_email(delay_s=-20), welcome_email(delay_s=60), welcome_email(delay_s=-30))
        async with world.database.transaction() as session:
            overdue = await JobLedger(session).overdue(by_s=5, limit=10)
        assert [job.job_id for job in overdue] == [jobs[2].job_id, jobs[0].job_id]
        assert -31 < overdue[0].due_in_s < -29
