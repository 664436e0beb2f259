"""Concurrent calls, deduplication and overdue jobs of the job repository. `test_job_states` tests the transitions."""

import asyncio

from workers.jobs.repository import Claim, JobRepository
from workers.schemas import NewJob, WelcomeEmail

from .factories import welcome_email
from .harness import Harness

LEASE_S = 60.0


class TestJobRepository:
    async def test_one_claim_succeeds_when_calls_are_concurrent(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())

        async def claim() -> Claim | None:
            async with harness.database.transaction() as session:
                return await JobRepository(session=session).claim(
                    queued.job_id, type_name=queued.type_name, lease_s=LEASE_S
                )

        claims = await asyncio.gather(*(claim() for _ in range(8)))
        assert len([claimed for claimed in claims if claimed]) == 1

    async def test_one_sweeper_takes_the_job_when_two_are_concurrent(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        async with harness.database.transaction() as session:
            await JobRepository(session=session).claim(queued.job_id, type_name=queued.type_name, lease_s=-1)
        async with harness.database.transaction() as first, harness.database.transaction() as second:
            taken = await JobRepository(session=first).take_expired(limit=10)
            assert await JobRepository(session=second).take_expired(limit=10) == []
            assert await JobRepository(session=first).dead_letter(taken[0], error="lost")

    async def test_add_adds_nothing_when_the_dedupe_key_exists(self, harness: Harness) -> None:
        job: NewJob = welcome_email()
        assert len(await harness.add_jobs(job, job, welcome_email())) == 2
        assert await harness.add_jobs(job) == []

    async def test_overdue_jobs_are_returned_oldest_first(self, harness: Harness) -> None:
        overdue_job, _later_job, oldest_job = await harness.add_jobs(
            welcome_email(delay_s=-2_000), welcome_email(delay_s=60), welcome_email(delay_s=-3_000)
        )
        async with harness.database.transaction() as session:
            overdue = await JobRepository(session=session).list_overdue(
                by_s=5, limit=10, type_names=[WelcomeEmail.type_name]
            )
        assert [job.job_id for job in overdue] == [oldest_job.job_id, overdue_job.job_id]
        assert -3_060 < overdue[0].due_in_s <= -3_000
