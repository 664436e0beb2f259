"""The worker is killed, frozen, told to go (FAULTS rows 3, 4, 5, 13)."""

import signal

import pytest

from testkit.waiting import eventually
from workers.models import Job

from .factories import fulfilment, order_email, order_event, ship, welcome_email
from .standins import person
from .world import World


def states(jobs: list[Job]) -> list[str]:
    return [job.state for job in jobs]


class TestKilledWorker:
    @pytest.mark.parametrize("crash_point", ["job.after_claim", "job.after_effect", "job.before_complete"])
    async def test_another_one_finishes_with_one_email(self, world: World, crash_point: str) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        (queued,) = await world.add(job)
        async with world.process(CRASH_AT=crash_point, JOB_LEASE_SECONDS="1") as doomed:
            assert await doomed.wait() == 137
        assert (await world.job(queued.job_id)).state == "running"
        async with world.worker():
            await world.until_done(1)
        assert (await world.job(queued.job_id)).attempt > 1
        assert len(world.mailbox.messages) == 1

    async def test_between_handover_and_record_the_email_is_repeated_byte_by_byte(self, world: World) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        await world.add(job)
        async with world.process(CRASH_AT="email.after_handover", JOB_LEASE_SECONDS="1") as doomed:
            assert await doomed.wait() == 137
        assert [email.state for email in await world.emails()] == ["sending"]
        async with world.process() as successor:
            await world.until_done(1)
            await eventually(lambda: "email_may_repeat" in successor.events())
        first, second = world.mailbox.messages
        del first["X-Trace-Id"], second["X-Trace-Id"]
        assert first.as_bytes() == second.as_bytes()

    async def test_after_the_commit_of_an_event_its_jobs_are_there_once(self, world: World) -> None:
        event = order_event("shipped")
        person(world.users, event.data["user_id"])
        await ship(world.redis, event)
        async with world.process(CRASH_AT="consumer.after_commit") as doomed:
            assert await doomed.wait() == 137
        async with world.worker():
            await world.until_done(1)
        assert len(await world.jobs()) == 1
        assert len(world.mailbox.messages) == 1

    async def test_follow_up_is_added_with_the_completion_or_not_at_all(self, world: World) -> None:
        await world.add(fulfilment())
        async with world.process(CRASH_AT="job.before_complete", JOB_LEASE_SECONDS="1") as doomed:
            assert await doomed.wait() == 137
        assert states(await world.jobs()) == ["running"]
        async with world.worker():
            await world.until_done(2)
        assert [step for _, step in world.orders.calls] == ["pack", "pack", "ship"]

    async def test_job_that_kills_every_worker_is_dead_in_the_end(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        await world.execute(
            "UPDATE job SET state = 'running', attempt = 20, lease_token = gen_random_uuid(), lease_until = now()"
        )
        async with world.worker():
            await world.until(lambda jobs: states(jobs) == ["dead"])
        assert (await world.job(queued.job_id)).last_error == "the lease ran out: the worker died or froze"


class TestFrozenWorker:
    async def test_frozen_in_the_mail_dialogue_it_keeps_others_from_sending(self, world: World) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        await world.add(job)
        world.mailbox.open.clear()
        async with world.process(JOB_LEASE_SECONDS="1") as frozen:
            await eventually(lambda: world.mailbox.waiting == 1)
            frozen.send(signal.SIGSTOP)
            async with world.worker():
                await world.until(lambda jobs: "another worker is sending" in (jobs[0].last_error or ""))
                world.mailbox.open.set()
                frozen.send(signal.SIGCONT)
                await world.until_done(1)
                await eventually(lambda: "lease_lost" in frozen.events())
        assert len(world.mailbox.messages) == 1

    async def test_thawed_after_its_lease_it_changes_nothing(self, world: World) -> None:
        (queued,) = await world.add(fulfilment())
        world.orders.open.clear()
        async with world.process(JOB_LEASE_SECONDS="1", FULFIL_STEP_SECONDS="600") as frozen:
            await eventually(lambda: world.orders.waiting == 1)
            frozen.send(signal.SIGSTOP)
            async with world.worker(fulfil_step_seconds="600"):
                world.orders.open.set()
                await world.until_done(1)
            done = await world.job(queued.job_id)
            frozen.send(signal.SIGCONT)
            await eventually(lambda: "lease_lost" in frozen.events())
        assert (await world.job(queued.job_id)).finished_at == done.finished_at
        assert states(await world.jobs()) == ["done", "queued"]


class TestStoppedWorker:
    async def test_finishes_what_it_has_in_hand(self, world: World) -> None:
        job = order_email()
        person(world.users, job.payload.user_id)
        await world.add(job)
        world.mailbox.open.clear()
        async with world.process() as process:
            await eventually(lambda: world.mailbox.waiting == 1)
            process.send(signal.SIGTERM)
            world.mailbox.open.set()
            assert await process.wait() == 0, process.output
        assert states(await world.jobs()) == ["done"]
        assert process.events()[-1] == "worker_stopped"

    async def test_releases_what_it_cannot_finish(self, world: World) -> None:
        (queued,) = await world.add(fulfilment())
        world.orders.open.clear()
        async with world.process(SHUTDOWN_SECONDS="1") as process:
            await eventually(lambda: world.orders.waiting == 1)
            process.send(signal.SIGTERM)
            assert await process.wait() == 0, process.output
        job = await world.job(queued.job_id)
        assert (job.state, job.attempt) == ("queued", 0)
        world.orders.open.set()
        async with world.worker():
            await world.until_done(2)
