"""A fault switch between the worker and a service: jobs wait it out."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from shared.faults import Fault, FaultStore, Kind

from .factories import welcome_email
from .standins import person
from .world import World


class TestFaultSwitches:
    async def test_jobs_fail_until_it_is_off(self, world: World) -> None:
        user_id = uuid4()
        person(world.users, user_id)
        store = FaultStore(redis=world.redis)
        until = datetime.now(UTC) + timedelta(seconds=60)
        await store.switch_on(Fault(source="workers", target="users", kind=Kind.DISCONNECT, value=100, until=until))
        async with world.worker(environment="development"):
            await world.add(welcome_email(user_id))
            await world.until(lambda jobs: "fault switch" in (jobs[0].last_error or ""))
            assert world.users.asked == []
            await store.clear()
            await world.until_done(1)
