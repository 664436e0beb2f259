from uuid import uuid4

from testkit.waiting import eventually
from workers.models import Job

from .factories import append_event, order_data, order_event, registered_event
from .fakes import add_user
from .harness import Harness


def keys(jobs: list[Job]) -> list[str]:
    return sorted(job.dedupe_key.rpartition(":")[0] for job in jobs)


class TestEventHandlers:
    async def test_placed_order_adds_confirmation_and_fulfilment_jobs(self, harness: Harness) -> None:
        async with harness.worker(fulfil_step_seconds="60"):
            await append_event(harness.redis, order_event("placed"))
            jobs = await harness.wait_until(lambda jobs: len(jobs) == 2)
        assert keys(jobs) == ["fulfil_order:pack", "send_order_email:placed"]

    async def test_jobs_are_added_once_when_an_event_is_delivered_twice(self, harness: Harness) -> None:
        event = order_event("shipped")
        add_user(harness.users, event.data["user_id"])
        async with harness.worker():
            await append_event(harness.redis, event)
            await append_event(harness.redis, event)
            await append_event(harness.redis, registered_event(uuid4()))
            jobs = await harness.wait_until_ended(2)
        assert keys(jobs) == ["send_order_email:shipped", "send_welcome_email"]
        assert len(harness.mailbox.messages) == 1

    async def test_one_job_is_added_when_two_events_have_the_same_data(self, harness: Harness) -> None:
        data = order_data(status="cancelled")
        add_user(harness.users, data["user_id"])
        async with harness.worker():
            await append_event(harness.redis, order_event("cancelled", data=data))
            await append_event(harness.redis, order_event("cancelled", data=data))
            await append_event(harness.redis, order_event("shipped"))
            jobs = await harness.wait_until(lambda jobs: len(jobs) == 2)
        assert keys(jobs) == ["send_order_email:cancelled", "send_order_email:shipped"]

    async def test_event_is_dead_lettered_and_the_next_handled_when_it_is_invalid(self, harness: Harness) -> None:
        async with harness.worker():
            await append_event(harness.redis, order_event("shipped", data={"order_id": "not an order"}))
            await append_event(harness.redis, order_event("shipped"))
            await harness.wait_until(lambda jobs: len(jobs) == 1)

            async def count_dead_letters() -> int:
                async with harness.database.engine.connect() as connection:
                    return len((await connection.exec_driver_sql("SELECT id FROM dead_letter")).all())

            assert await eventually(count_dead_letters) == 1
