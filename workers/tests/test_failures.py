import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from opentelemetry.trace import StatusCode

from shared.events import Trace
from testkit.spans import Spans
from testkit.waiting import eventually
from workers.backoff import LONGEST_PAUSE_S, backoff_s
from workers.dependencies import Tools
from workers.dispatch import Dispatcher
from workers.kinds import ATTEMPTS, JOBS_QUEUE, Kind, queue_of
from workers.ledger import Claim
from workers.models import Job
from workers.runner import Runner
from workers.schemas import NewJob, OrderEmail, WelcomeEmail
from workers.sweeper import Sweeper

from .factories import order_email, welcome_email
from .standins import person
from .world import World


async def _fails(_payload: WelcomeEmail, _claim: Claim, _tools: Tools) -> Sequence[NewJob]:
    raise ValueError("not today")


async def _hangs(_payload: WelcomeEmail, _claim: Claim, _tools: Tools) -> Sequence[NewJob]:
    await asyncio.Event().wait()
    return ()


async def _works(_payload: WelcomeEmail, _claim: Claim, _tools: Tools) -> Sequence[NewJob]:
    return ()


class TestBackoff:
    @pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10_000, 300)])
    def test_doubles_up_to_five_minutes_with_jitter(self, attempt: int, longest: float) -> None:
        pauses = [backoff_s(attempt) for _ in range(200)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest <= LONGEST_PAUSE_S


class TestFailingJob:
    async def test_waits_longer_after_each_failure_then_is_dead(self, world: World, spans: Spans) -> None:
        (queued,) = await world.add(welcome_email())
        pauses: list[timedelta] = []
        async with self._runner(world) as runner:
            for _ in range(2):
                await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
                job = await world.job(queued.job_id)
                pauses.append(job.run_after - job.created_at)
                await world.execute("UPDATE job SET run_after = now()")
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
        job = await world.job(queued.job_id)
        assert (job.state, job.attempt, job.last_error) == ("dead", 3, "ValueError: not today")
        assert timedelta(seconds=0.5) <= pauses[0] < pauses[1]
        outcomes = [(span.attributes or {})["hopline.job.outcome"] for span in spans.named("run send_welcome_email")]
        queue = world.redis.get_connection_kwargs()  # type: ignore[no-untyped-call]
        for span in spans.named("run send_welcome_email"):
            assert (span.attributes or {})["server.address"] == queue["host"]
            assert (span.attributes or {})["server.port"] == queue["port"]
        assert outcomes == ["failed", "failed", "dead"]

    async def test_retry_keeps_the_trace_and_links_to_its_cause(self, world: World, spans: Spans) -> None:
        (queued,) = await world.add(welcome_email())
        traceparent = f"00-{uuid4().hex}-00f067aa0ba902b7-01"
        await world.execute("UPDATE job SET traceparent = :traceparent", traceparent=traceparent)
        async with self._runner(world) as runner:
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
            await world.execute("UPDATE job SET run_after = now()")
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
        first, second = spans.named("run send_welcome_email")
        cause = Trace(traceparent).link()
        assert cause is not None
        for attempt, span in enumerate((first, second), start=1):
            assert span.parent is not None
            assert span.parent.span_id == cause.context.span_id
            assert (span.attributes or {})["hopline.job.attempt"] == attempt
            assert span.status.status_code is StatusCode.ERROR
        assert not first.links
        assert [link.context.span_id for link in second.links] == [cause.context.span_id]

    async def test_job_that_takes_too_long_is_stopped(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        async with self._runner(world, timeout_s=0.05) as runner:
            await runner.run(queued.job_id, WelcomeEmail.kind, _hangs)
        job = await world.job(queued.job_id)
        assert (job.state, job.last_error) == ("queued", "DependencyAway: not done within 0.05 s")

    async def test_job_that_is_not_due_is_left_alone(self, world: World) -> None:
        (queued,) = await world.add(welcome_email(delay_s=60))
        async with self._runner(world) as runner:
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
        assert (await world.job(queued.job_id)).attempt == 0

    @staticmethod
    def _runner(world: World, *, timeout_s: float = 5.0) -> AbstractAsyncContextManager[Runner]:
        return world.runner(Kind(payload=WelcomeEmail, attempts=3, timeout_s=timeout_s))


def _follower(payload: WelcomeEmail, claim: Claim, error: str) -> Sequence[NewJob]:
    assert error
    return [NewJob(payload=payload.model_copy(update={"user_id": claim.lease_token}))]


class TestDeadJob:
    """What a kind wants to follow a death is added in the burial's own transaction, by whoever buries."""

    kind = Kind(payload=WelcomeEmail, attempts=1, when_dead=_follower)

    async def test_is_followed_by_what_its_kind_says(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        async with world.runner(self.kind) as runner:
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
        assert states(await world.jobs()) == ["dead", "queued"]

    async def test_is_followed_where_it_killed_its_worker(self, world: World) -> None:
        await world.add(welcome_email())
        await expire(world)
        await sweep(world, {WelcomeEmail.kind: self.kind})
        assert states(await world.jobs()) == ["dead", "queued"]

    async def test_is_followed_anew_after_a_replay(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        async with world.runner(self.kind) as runner:
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
            await world.execute("UPDATE job SET state = 'queued', attempt = 0, finished_at = NULL WHERE state = 'dead'")
            await runner.run(queued.job_id, WelcomeEmail.kind, _fails)
        assert states(await world.jobs()) == ["dead", "queued", "queued"]

    async def test_that_cannot_be_read_is_followed_by_nothing(self, world: World) -> None:
        await world.add(welcome_email())
        await expire(world)
        await world.execute("UPDATE job SET payload = '{}'")
        await sweep(world, {WelcomeEmail.kind: self.kind})
        assert states(await world.jobs()) == ["dead"]


async def expire(world: World) -> None:
    await world.execute(
        "UPDATE job SET state = 'running', attempt = 1, lease_token = gen_random_uuid(), lease_until = now()"
    )


async def sweep(world: World, kinds: Mapping[str, Kind]) -> None:
    dispatcher = Dispatcher(redis=world.redis, queue_of=queue_of)
    await Sweeper(database=world.database, dispatcher=dispatcher, kinds=kinds, every_s=1).sweep()


def states(jobs: Sequence[Job]) -> list[str]:
    return sorted(job.state for job in jobs)


class TestPoisonJob:
    async def test_is_dead_and_others_go_on(self, world: World) -> None:
        poison, good = welcome_email(), order_email()
        person(world.users, good.payload.user_id)
        (queued,) = await world.add(poison)
        await world.execute("UPDATE job SET payload = '{}'")
        await world.add(good)
        async with world.worker():
            await world.until_done(1)
            await world.until(lambda jobs: "dead" in {job.state for job in jobs})
        job = await world.job(queued.job_id)
        assert job.attempt == 1
        assert "the payload is not one of send_welcome_email" in (job.last_error or "")
        assert len(world.mailbox.messages) == 1


class TestJobOfAYoungerVersion:
    """While a release rolls out, workers come by jobs that they do not know yet."""

    async def test_of_an_unknown_kind_waits_for_a_worker_that_knows_it(self, world: World) -> None:
        unknown, known = welcome_email(), welcome_email()
        for new in (unknown, known):
            person(world.users, new.payload.user_id)
        (queued,) = await world.add(unknown)
        await world.execute("UPDATE job SET kind = 'send_fax', run_after = now() - interval '1 minute'")
        await Dispatcher(redis=world.redis, queue_of=queue_of).enqueue(replace(queued, kind="send_fax"))
        async with world.worker():
            await world.add(known)
            await world.until_done(1)
            await eventually(lambda: self._is_empty(world))
            job = await world.job(queued.job_id)
            assert (job.state, job.attempt) == ("queued", 0)
            await world.execute("UPDATE job SET kind = 'send_welcome_email' WHERE kind = 'send_fax'")
            await world.until_done(2)

    async def _is_empty(self, world: World) -> bool:
        return not await world.redis.zcard(JOBS_QUEUE)

    async def test_waits_with_a_field_that_is_new(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        await world.execute("""UPDATE job SET payload = payload || '{"colour": "red"}'""")
        async with world.runner(Kind(payload=WelcomeEmail)) as older:
            await older.run(queued.job_id, WelcomeEmail.kind, _works)
        job = await world.job(queued.job_id)
        error = "OfAYoungerVersion: no such fields of send_welcome_email: colour"
        assert (job.state, job.last_error) == ("queued", error)
        assert job.run_after > job.created_at

    async def test_is_dead_if_no_worker_understands_it(self, world: World) -> None:
        (queued,) = await world.add(welcome_email())
        await world.execute(
            """UPDATE job SET payload = payload || '{"colour": "red"}', attempt = :attempts - 1""", attempts=ATTEMPTS
        )
        async with world.runner(Kind(payload=WelcomeEmail)) as older:
            await older.run(queued.job_id, WelcomeEmail.kind, _works)
        assert (await world.job(queued.job_id)).state == "dead"

    async def test_is_not_buried_with_the_worker_that_knew_it(self, world: World) -> None:
        await world.add(welcome_email())
        await expire(world)
        await sweep(world, {OrderEmail.kind: Kind(payload=OrderEmail)})
        assert states(await world.jobs()) == ["queued"]


class TestLateJob:
    async def test_is_still_done_after_days(self, world: World) -> None:
        job = welcome_email()
        person(world.users, job.payload.user_id)
        await world.add(job)
        await world.execute("UPDATE job SET run_after = now() - interval '3 days'")
        async with world.worker():
            await world.until_done(1)
        assert len(world.mailbox.messages) == 1
