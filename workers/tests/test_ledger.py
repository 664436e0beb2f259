"""The ledger where many are at it at once; `test_ledger_states` has every order of what one after another does."""

import asyncio

from workers.ledger import Claim, JobLedger
from workers.schemas import NewJob, WelcomeEmail

from .factories import welcome_email
from .world import World

LEASE_S = 60.0


class TestJobLedger:
    async def test_of_many_claims_at_once_one_succeeds(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())

        async def claim() -> Claim | None:
            async with world.database.transaction() as session:
                return await JobLedger(session).claim(queued.job_id, kind=queued.kind, lease_s=LEASE_S)

        claims = await asyncio.gather(*(claim() for _ in range(8)))
        assert len([claim for claim in claims if claim]) == 1

    async def test_of_two_sweepers_at_once_one_takes_the_job(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        async with world.database.transaction() as session:
            await JobLedger(session).claim(queued.job_id, kind=queued.kind, lease_s=-1)
        async with world.database.transaction() as one, world.database.transaction() as other:
            taken = await JobLedger(one).take_expired(limit=10)
            assert await JobLedger(other).take_expired(limit=10) == []
            await JobLedger(one).bury(taken[0], error="lost")

    async def test_known_dedupe_key_adds_nothing(self, world: World) -> None:
        job: NewJob = welcome_email()
        assert len(await world.add(job, job, welcome_email())) == 2
        assert await world.add(job) == []

    async def test_overdue_are_those_nobody_claims_the_oldest_first(self, world: World) -> None:
        jobs = await world.add(welcome_email(delay_s=-2_000), welcome_email(delay_s=60), welcome_email(delay_s=-3_000))
        async with world.database.transaction() as session:
            overdue = await JobLedger(session).overdue(by_s=5, limit=10, kinds=[WelcomeEmail.kind])
        assert [job.job_id for job in overdue] == [jobs[2].job_id, jobs[0].job_id]
        assert -3_060 < overdue[0].due_in_s <= -3_000
