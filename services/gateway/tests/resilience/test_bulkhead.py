"""One service has a bounded number of callers, in the order they came."""

import asyncio

import pytest

from gateway.errors import UpstreamBusy
from gateway.resilience.bulkhead import Bulkhead
from shared.deadline import deadline_in
from testkit.waiting import eventually


class Callers:
    """Calls through a bulkhead that last until `release` is set."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead = bulkhead
        self.release = asyncio.Event()
        self.entered: list[int] = []

    def come(self, *numbers: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._call(number)) for number in numbers]

    async def _call(self, number: int) -> None:
        async with self.bulkhead:
            self.entered.append(number)
            await self.release.wait()


class TestBulkhead:
    async def test_some_are_inside_as_many_wait_and_the_rest_is_refused(self) -> None:
        callers = Callers(Bulkhead(name="orders", at_once=2))
        tasks = callers.come(1, 2, 3, 4, 5)
        await eventually(tasks[4].done)
        with pytest.raises(UpstreamBusy) as refused:
            await tasks[4]
        assert refused.value.headers["Retry-After"] == "1"
        assert callers.entered == [1, 2]
        assert callers.bulkhead.inside == 2
        callers.release.set()
        await asyncio.gather(*tasks[:4])
        assert callers.entered == [1, 2, 3, 4]
        assert callers.bulkhead.inside == 0

    async def test_nobody_waits_past_the_deadline(self) -> None:
        callers = Callers(Bulkhead(name="orders", at_once=1))
        [inside] = callers.come(1)
        await eventually(lambda: callers.entered)
        with deadline_in(0.01):
            [late] = callers.come(2)
        await eventually(late.done)
        with pytest.raises(UpstreamBusy):
            await late
        callers.release.set()
        await inside
        assert callers.entered == [1]

    async def test_who_gives_up_leaves_no_place_taken(self) -> None:
        callers = Callers(Bulkhead(name="orders", at_once=1))
        inside, waiting = callers.come(1, 2)
        await eventually(lambda: callers.entered)
        for task in (waiting, inside):
            task.cancel()
        await asyncio.gather(inside, waiting, return_exceptions=True)
        callers.release.set()
        await asyncio.gather(*callers.come(3, 4))
        assert callers.entered == [1, 3, 4]
        assert callers.bulkhead.inside == 0
