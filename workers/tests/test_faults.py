"""A fault switch makes the calls to a service fail. Jobs are retried until it is switched off."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from shared.faults import Fault, FaultKind, FaultStore

from .factories import welcome_email
from .fakes import add_user
from .harness import Harness


class TestFaultSwitches:
    async def test_job_is_retried_until_the_fault_is_switched_off(self, harness: Harness) -> None:
        user_id = uuid4()
        add_user(harness.users, user_id)
        store = FaultStore(redis=harness.redis)
        until = datetime.now(UTC) + timedelta(seconds=60)
        await store.switch_on(
            Fault(source="workers", target="users", kind=FaultKind.DISCONNECT, value=100, until=until)
        )
        async with harness.run_worker(environment="development"):
            await harness.add_jobs(welcome_email(user_id))
            await harness.wait_until(lambda jobs: "injected fault" in (jobs[0].last_error or ""))
            assert harness.users.user_requests == []
            await store.clear()
            await harness.wait_until_done(1)
