"""A worker is killed, frozen or stopped (chaos rows 3, 4, 5 and 13)."""

import signal

import pytest

from shared.faults.crash_points import CRASHED
from testkit.waiting import eventually
from workers.jobs.sweeper import EXPIRED
from workers.jobs.types import ATTEMPTS
from workers.models import Job

from .factories import append_event, fulfilment, order_email, order_event, welcome_email
from .fakes import add_user
from .harness import Harness

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def states(jobs: list[Job]) -> list[str]:
    return [job.state for job in jobs]


class TestKilledWorker:
    @pytest.mark.parametrize("crash_point", ["job.after_claim", "job.after_effect", "job.before_complete"])
    async def test_another_worker_sends_one_email_when_the_first_is_killed(
        self, harness: Harness, crash_point: str
    ) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        (queued,) = await harness.add_jobs(job)
        async with harness.run_process(CRASH_AT=crash_point, JOB_LEASE_SECONDS="1") as killed:
            assert await killed.wait() == CRASHED
        assert (await harness.get_job(queued.job_id)).state == "running"
        async with harness.run_worker():
            await harness.wait_until_done(1)
        assert (await harness.get_job(queued.job_id)).attempt > 1
        assert len(harness.mailbox.messages) == 1

    async def test_email_is_repeated_byte_for_byte_when_the_worker_dies_before_it_is_recorded(
        self, harness: Harness
    ) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        await harness.add_jobs(job)
        await harness.execute("UPDATE job SET traceparent = :traceparent", traceparent=TRACEPARENT)
        async with harness.run_process(CRASH_AT="email.after_handover", JOB_LEASE_SECONDS="1") as killed:
            assert await killed.wait() == CRASHED
        assert [email.state for email in await harness.list_emails()] == ["sending"]
        async with harness.run_process() as successor:
            await harness.wait_until_done(1)
            await eventually(lambda: "email_may_repeat" in successor.events())
        first, second = harness.mailbox.received_messages
        assert first == second

    async def test_jobs_are_added_once_when_the_worker_dies_after_the_commit(self, harness: Harness) -> None:
        event = order_event("shipped")
        add_user(harness.users, event.data["user_id"])
        await append_event(harness.redis, event)
        async with harness.run_process(CRASH_AT="consumer.after_commit") as killed:
            assert await killed.wait() == CRASHED
        async with harness.run_worker():
            await harness.wait_until_done(1)
        assert len(await harness.list_jobs()) == 1
        assert len(harness.mailbox.messages) == 1

    async def test_follow_up_job_is_not_added_when_the_worker_dies_before_the_completion(
        self, harness: Harness
    ) -> None:
        await harness.add_jobs(fulfilment())
        async with harness.run_process(CRASH_AT="job.before_complete", JOB_LEASE_SECONDS="1") as killed:
            assert await killed.wait() == CRASHED
        assert states(await harness.list_jobs()) == ["running"]
        async with harness.run_worker():
            await harness.wait_until_done(2)
        assert [step for _, step in harness.orders.calls] == ["pack", "pack", "ship"]

    async def test_job_is_dead_when_its_last_lease_expires(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(welcome_email())
        await harness.execute(
            "UPDATE job"
            " SET state = 'running', attempt = :attempts, lease_token = gen_random_uuid(), lease_until = now()",
            attempts=ATTEMPTS,
        )
        async with harness.run_worker():
            await harness.wait_until(lambda jobs: states(jobs) == ["dead"])
        assert (await harness.get_job(queued.job_id)).last_error == EXPIRED


class TestFrozenWorker:
    async def test_email_is_sent_once_when_a_worker_freezes_during_the_smtp_dialogue(self, harness: Harness) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        await harness.add_jobs(job)
        harness.mailbox.open.clear()
        async with harness.run_process(JOB_LEASE_SECONDS="1") as frozen:
            await eventually(lambda: harness.mailbox.waiting == 1)
            frozen.send_signal(signal.SIGSTOP)
            async with harness.run_worker():
                await harness.wait_until(lambda jobs: "another worker is sending" in (jobs[0].last_error or ""))
                harness.mailbox.open.set()
                frozen.send_signal(signal.SIGCONT)
                await harness.wait_until_done(1)
                await eventually(lambda: "lease_lost" in frozen.events())
        assert len(harness.mailbox.messages) == 1

    async def test_result_is_discarded_when_a_frozen_worker_has_lost_its_lease(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(fulfilment())
        harness.orders.open.clear()
        async with harness.run_process(JOB_LEASE_SECONDS="1", FULFIL_STEP_SECONDS="600") as frozen:
            await eventually(lambda: harness.orders.waiting == 1)
            frozen.send_signal(signal.SIGSTOP)
            async with harness.run_worker(fulfil_step_seconds="600"):
                harness.orders.open.set()
                await harness.wait_until_done(1)
            done = await harness.get_job(queued.job_id)
            frozen.send_signal(signal.SIGCONT)
            await eventually(lambda: "lease_lost" in frozen.events())
        assert (await harness.get_job(queued.job_id)).finished_at == done.finished_at
        assert states(await harness.list_jobs()) == ["done", "queued"]


class TestStoppedWorker:
    async def test_running_job_is_finished_when_the_worker_stops(self, harness: Harness) -> None:
        job = order_email()
        add_user(harness.users, job.payload.user_id)
        await harness.add_jobs(job)
        harness.mailbox.open.clear()
        async with harness.run_process() as process:
            await eventually(lambda: harness.mailbox.waiting == 1)
            process.send_signal(signal.SIGTERM)
            harness.mailbox.open.set()
            assert await process.wait() == 0, process.output
        assert states(await harness.list_jobs()) == ["done"]
        assert process.events()[-1] == "worker_stopped"

    async def test_running_job_is_released_when_it_exceeds_the_shutdown_time(self, harness: Harness) -> None:
        (queued,) = await harness.add_jobs(fulfilment())
        harness.orders.open.clear()
        async with harness.run_process(SHUTDOWN_SECONDS="1") as process:
            await eventually(lambda: harness.orders.waiting == 1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0, process.output
        job = await harness.get_job(queued.job_id)
        assert (job.state, job.attempt) == ("queued", 0)
        harness.orders.open.set()
        async with harness.run_worker():
            await harness.wait_until_done(2)
