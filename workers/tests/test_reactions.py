from uuid import uuid4

from testkit.waiting import eventually
from workers.models import Job

from .factories import order_data, order_event, registered_event, ship
from .standins import person
from .world import World


def keys(jobs: list[Job]) -> list[str]:
    return sorted(job.dedupe_key.rpartition(":")[0] for job in jobs)


class TestReactions:
    async def test_placed_order_is_confirmed_and_fulfilled(self, world: World) -> None:
        async with world.worker(fulfil_step_seconds="60"):
            await ship(world.redis, order_event("placed"))
            jobs = await world.until(lambda jobs: len(jobs) == 2)
        assert keys(jobs) == ["fulfil_order:pack", "send_order_email:placed"]

    async def test_event_delivered_twice_makes_its_jobs_once(self, world: World) -> None:
        event = order_event("shipped")
        person(world.users, event.data["user_id"])
        async with world.worker():
            await ship(world.redis, event)
            await ship(world.redis, event)
            await ship(world.redis, registered_event(uuid4()))
            jobs = await world.until_ended(2)
        assert keys(jobs) == ["send_order_email:shipped", "send_welcome_email"]
        assert len(world.mailbox.messages) == 1

    async def test_two_events_that_say_the_same_make_one_job(self, world: World) -> None:
        data = order_data(status="cancelled")
        person(world.users, data["user_id"])
        async with world.worker():
            await ship(world.redis, order_event("cancelled", data=data))
            await ship(world.redis, order_event("cancelled", data=data))
            await ship(world.redis, order_event("shipped"))
            jobs = await world.until(lambda jobs: len(jobs) == 2)
        assert keys(jobs) == ["send_order_email:cancelled", "send_order_email:shipped"]

    async def test_poison_event_is_buried_and_the_next_one_handled(self, world: World) -> None:
        async with world.worker():
            await ship(world.redis, order_event("shipped", data={"order_id": "not an order"}))
            await ship(world.redis, order_event("shipped"))
            await world.until(lambda jobs: len(jobs) == 1)

            async def buried() -> int:
                async with world.database.engine.connect() as connection:
                    return len((await connection.exec_driver_sql("SELECT id FROM dead_letter")).all())

            assert await eventually(buried) == 1
