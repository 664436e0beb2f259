"""Calls to one service are limited, and waiting calls are served in order."""

import asyncio

import pytest

from gateway.errors import UpstreamBusyError
from gateway.resilience.bulkhead import Bulkhead
from shared.context import set_deadline
from testkit.waiting import eventually


class Callers:
    """Calls through a bulkhead that last until `release` is set."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead = bulkhead
        self.release = asyncio.Event()
        self.entered: list[int] = []

    def start(self, *numbers: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._call(number)) for number in numbers]

    async def _call(self, number: int) -> None:
        async with self.bulkhead:
            self.entered.append(number)
            await self.release.wait()


class TestBulkhead:
    async def test_calls_are_rejected_when_the_queue_is_full(self) -> None:
        callers = Callers(Bulkhead(name="orders", max_concurrent=2))
        tasks = callers.start(1, 2, 3, 4, 5)
        await eventually(tasks[4].done)
        with pytest.raises(UpstreamBusyError) as rejected:
            await tasks[4]
        assert rejected.value.headers["Retry-After"] == "1"
        assert callers.entered == [1, 2]
        assert callers.bulkhead.in_flight == 2
        callers.release.set()
        await asyncio.gather(*tasks[:4])
        assert callers.entered == [1, 2, 3, 4]
        assert callers.bulkhead.in_flight == 0

    async def test_call_is_rejected_when_the_deadline_comes_first(self) -> None:
        callers = Callers(Bulkhead(name="orders", max_concurrent=1))
        [inside] = callers.start(1)
        await eventually(lambda: callers.entered)
        with set_deadline(0.01):
            [late] = callers.start(2)
        await eventually(late.done)
        with pytest.raises(UpstreamBusyError):
            await late
        callers.release.set()
        await inside
        assert callers.entered == [1]

    async def test_slot_is_released_when_a_call_is_cancelled(self) -> None:
        callers = Callers(Bulkhead(name="orders", max_concurrent=1))
        inside, waiting = callers.start(1, 2)
        await eventually(lambda: callers.entered)
        for task in (waiting, inside):
            task.cancel()
        await asyncio.gather(inside, waiting, return_exceptions=True)
        callers.release.set()
        await asyncio.gather(*callers.start(3, 4))
        assert callers.entered == [1, 3, 4]
        assert callers.bulkhead.in_flight == 0
