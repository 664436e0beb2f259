"""Calls to one service are limited, and waiting calls are served in order."""

import asyncio

import pytest

from gateway.errors import UpstreamBusyError
from gateway.resilience.bulkhead import Bulkhead
from shared.context import Deadline
from testkit.waiting import eventually


class Callers:
    """Make calls through a bulkhead, which last until `release` is set. `entered` has the numbers of admitted calls."""

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
        """Of five calls, two are in flight, two wait, and the last one is rejected."""
        callers = Callers(Bulkhead(name="orders", max_concurrent=2))
        *accepted, last = callers.start(1, 2, 3, 4, 5)
        await eventually(last.done)
        with pytest.raises(UpstreamBusyError) as rejected:
            await last
        assert rejected.value.headers["Retry-After"] == "1"
        assert callers.entered == [1, 2]
        assert callers.bulkhead.in_flight == 2
        callers.release.set()
        await asyncio.gather(*accepted)
        assert callers.entered == [1, 2, 3, 4]
        assert callers.bulkhead.in_flight == 0

    async def test_new_call_is_rejected_when_the_released_slot_belongs_to_a_waiting_call(self) -> None:
        callers = Callers(Bulkhead(name="orders", max_concurrent=1))
        callers.release.set()
        async with callers.bulkhead:
            [waiting] = callers.start(1)
            await eventually(lambda: callers.bulkhead.waiting == 1)
        with pytest.raises(UpstreamBusyError):  # the queue is full until the waiting call runs
            await callers.bulkhead.__aenter__()
        await waiting
        assert callers.entered == [1]

    async def test_waiting_call_is_rejected_when_no_slot_is_free_before_its_deadline(self) -> None:
        callers = Callers(Bulkhead(name="orders", max_concurrent=1))
        [inside] = callers.start(1)
        await eventually(lambda: callers.entered)
        with Deadline(0.01):
            [late] = callers.start(2)
        await eventually(late.done)
        with pytest.raises(UpstreamBusyError):
            await late
        callers.release.set()
        await inside
        assert callers.entered == [1]

    async def test_slot_is_released_when_waiting_and_running_calls_are_cancelled(self) -> None:
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
