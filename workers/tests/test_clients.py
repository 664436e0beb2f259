from uuid import UUID, uuid4

from workers.clients import CALL_S
from workers.models import Job

from .factories import welcome_email
from .standins import person
from .world import World


class TestServiceToken:
    async def test_is_fetched_once_for_many_jobs(self, world: World) -> None:
        await self._greet(world, count=5)
        assert world.users.tokens_given == 1

    async def test_is_fetched_again_shortly_before_it_expires(self, world: World) -> None:
        world.users.token_lifetime = 1  # half of it is kept
        async with world.worker():
            await self._greet_one(world)
            await world.until_done(1)
            await world.add(welcome_email(self._known(world), delay_s=0.6))
            await world.until_done(2)
        assert world.users.tokens_given > 1

    async def test_is_fetched_again_once_when_refused(self, world: World) -> None:
        async with world.worker():
            await self._greet_one(world)
            await world.until_done(1)
            world.users.revoked = {"t1"}
            await self._greet_one(world)
            await world.until_done(2)
        assert world.users.tokens_given == 2

    async def test_refusal_of_a_fresh_token_is_a_failure_not_a_loop(self, world: World) -> None:
        world.users.revoked = {f"t{number}" for number in range(1, 100)}
        async with world.worker():
            await self._greet_one(world)
            await world.until(lambda jobs: "answered 401" in (jobs[0].last_error or ""))
            asked = len(world.users.asked)
            (job,) = await world.jobs()
        assert asked <= 2 * job.attempt

    async def _greet(self, world: World, *, count: int) -> list[Job]:
        async with world.worker():
            await world.add(*(welcome_email(self._known(world)) for _ in range(count)))
            return await world.until_done(count)

    async def _greet_one(self, world: World) -> None:
        await world.add(welcome_email(self._known(world)))

    def _known(self, world: World) -> UUID:
        user_id = uuid4()
        person(world.users, user_id)
        return user_id


class TestUsers:
    async def test_is_told_how_long_the_worker_waits(self, world: World) -> None:
        user_id = uuid4()
        person(world.users, user_id)
        async with world.worker():
            await world.add(welcome_email(user_id))
            await world.until_done(1)
        assert 0 < int(world.users.asked[-1]["x-request-timeout-ms"]) <= CALL_S * 1000

    async def test_who_fails_is_asked_again(self, world: World) -> None:
        user_id = uuid4()
        person(world.users, user_id)
        world.users.answers = [503]
        async with world.worker():
            await world.add(welcome_email(user_id))
            (job,) = await world.until_done(1)
        assert job.attempt > 1
        assert len(world.mailbox.messages) == 1

    async def test_unknown_user_makes_the_job_dead_at_once(self, world: World) -> None:
        async with world.worker():
            await world.add(welcome_email())
            (job,) = await world.until(lambda jobs: jobs[0].state == "dead")
        assert "no user" in (job.last_error or "")
