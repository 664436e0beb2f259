from testkit.waiting import eventually
from workers.models import Job

from .factories import append_event, order_data, order_event
from .fakes import add_user
from .harness import Harness


def keys_without_ids(jobs: list[Job]) -> list[str]:
    """Return the sorted dedupe keys without the id of the order or user at their end."""
    return sorted(job.dedupe_key.rpartition(":")[0] for job in jobs)


class TestEventHandlers:
    async def test_placed_order_adds_confirmation_and_fulfilment_jobs(self, harness: Harness) -> None:
        async with harness.run_worker(fulfil_step_seconds="60"):
            await append_event(harness.redis, order_event("placed"))
            jobs = await harness.wait_until(lambda jobs: len(jobs) == 2)
        assert keys_without_ids(jobs) == ["fulfil_order:pack", "send_order_email:placed"]

    async def test_jobs_are_added_once_when_an_event_is_delivered_twice(self, harness: Harness) -> None:
        event = order_event("shipped")
        add_user(harness.users, event.data["user_id"])
        async with harness.run_worker():
            await append_event(harness.redis, event)
            await append_event(harness.redis, event)
            await append_event(harness.redis, order_event("cancelled"))  # is applied last
            jobs = await harness.wait_until_ended(2)
        assert keys_without_ids(jobs) == ["send_order_email:cancelled", "send_order_email:shipped"]
        assert len(harness.mailbox.messages) == 1

    async def test_one_job_is_added_when_two_events_have_the_same_data(self, harness: Harness) -> None:
        data = order_data(status="cancelled")
        add_user(harness.users, data["user_id"])
        async with harness.run_worker():
            await append_event(harness.redis, order_event("cancelled", data=data))
            await append_event(harness.redis, order_event("cancelled", data=data))
            await append_event(harness.redis, order_event("shipped"))  # is applied last
            jobs = await harness.wait_until(lambda jobs: len(jobs) == 2)
        assert keys_without_ids(jobs) == ["send_order_email:cancelled", "send_order_email:shipped"]

    async def test_event_is_dead_lettered_and_the_next_one_is_applied_when_the_data_is_invalid(
        self, harness: Harness
    ) -> None:
        async with harness.run_worker():
            await append_event(harness.redis, order_event("shipped", data={"order_id": "not an order"}))
            await append_event(harness.redis, order_event("shipped"))
            await harness.wait_until(lambda jobs: len(jobs) == 1)

            async def count_dead_letters() -> int:
                async with harness.database.engine.connect() as connection:
                    return len((await connection.exec_driver_sql("SELECT id FROM dead_letter")).all())

            assert await eventually(count_dead_letters) == 1
