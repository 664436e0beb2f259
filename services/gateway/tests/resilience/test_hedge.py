"""A late read is asked for twice; the first answer counts."""

import asyncio

import pytest

from gateway.resilience.hedge import hedged
from testkit.waiting import eventually


class Replicas:
    """Each call goes to the next of them and gets what `answer` or `fail` say, in whatever order they say it."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[str]] = []
        self.cancelled = 0

    async def ask(self) -> str:
        call = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        try:
            return str(await call)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def asked(self, times: int) -> None:
        await eventually(lambda: len(self.calls) == times)


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


def race(replicas: Replicas, *, after_s: float = 0.001, may_hedge: bool = True) -> asyncio.Task[str]:
    return asyncio.create_task(hedged(replicas.ask, after_s=after_s, may_hedge=lambda: may_hedge))


class TestHedge:
    async def test_a_quick_answer_is_asked_for_once(self, replicas: Replicas) -> None:
        answer = race(replicas, after_s=60)
        await replicas.asked(1)
        replicas.calls[0].set_result("first")
        assert await answer == "first"
        assert len(replicas.calls) == 1

    async def test_the_first_answer_counts_and_the_other_call_is_cancelled(self, replicas: Replicas) -> None:
        answer = race(replicas)
        await replicas.asked(2)
        replicas.calls[1].set_result("second")
        assert await answer == "second"
        assert replicas.cancelled == 1

    async def test_a_failure_waits_for_the_other_call(self, replicas: Replicas) -> None:
        answer = race(replicas)
        await replicas.asked(2)
        replicas.calls[1].set_exception(ConnectionResetError())
        await asyncio.wait([answer], timeout=0.01)
        replicas.calls[0].set_result("first")
        assert await answer == "first"

    async def test_where_both_end_at_once_the_answer_counts(self, replicas: Replicas) -> None:
        answer = race(replicas)
        await replicas.asked(2)
        replicas.calls[0].set_exception(ConnectionResetError())
        replicas.calls[1].set_result("second")
        assert await answer == "second"

    async def test_where_both_fail_the_failure_is_raised(self, replicas: Replicas) -> None:
        answer = race(replicas)
        await replicas.asked(2)
        for call in replicas.calls:
            call.set_exception(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await answer

    async def test_without_a_budget_it_waits(self, replicas: Replicas) -> None:
        answer = race(replicas, may_hedge=False)
        await replicas.asked(1)
        await asyncio.wait([answer], timeout=0.05)
        replicas.calls[0].set_result("first")
        assert await answer == "first"
        assert len(replicas.calls) == 1

    async def test_who_gives_up_cancels_both(self, replicas: Replicas) -> None:
        answer = race(replicas)
        await replicas.asked(2)
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        assert replicas.cancelled == 2
