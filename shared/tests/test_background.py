"""A loop beside a service: it survives what it does, and ends when told."""

import asyncio
from typing import ClassVar

from structlog.testing import capture_logs

from shared.background import Background, running
from testkit.waiting import PATIENCE_S, eventually


class Failing(Background):
    """Fails with each of `errors` in turn, then rests."""

    outages: ClassVar = (ConnectionError,)

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.well = asyncio.Event()

    async def _run(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.well.set()
        await self._stopping.wait()


class Deaf(Background):
    """Swallows the first cancellation, as redis-py does now and then."""

    cancellations = 0

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancellations += 1
                if self.cancellations > 1:
                    raise


class Polite(Background):
    """When told to stop, waits for the others that are."""

    def __init__(self, leaving: asyncio.Barrier) -> None:
        super().__init__(drain_timeout_s=5)
        self.leaving = leaving
        self.left = False

    async def _run(self) -> None:
        await self._stopping.wait()
        await self.leaving.wait()
        self.left = True


class TestBackground:
    async def test_goes_on_after_outages_and_bugs(self) -> None:
        with capture_logs() as lines:
            async with Failing(ConnectionError("away"), ValueError("a bug")) as loop:
                await eventually(loop.well.is_set)
        assert [line["event"] for line in lines] == ["background_interrupted", "background_failed"]

    async def test_ends_though_a_cancellation_is_swallowed(self) -> None:
        async with asyncio.timeout(PATIENCE_S), Deaf() as loop:
            pass
        assert loop.cancellations == 2

    async def test_has_begun_when_entered(self) -> None:
        async with Failing() as loop:
            assert loop.well.is_set()


class TestRunning:
    async def test_all_are_told_to_stop_at_once(self) -> None:
        leaving = asyncio.Barrier(3)
        loops = [Polite(leaving) for _ in range(leaving.parties)]
        async with running(loops):
            assert not any(loop.left for loop in loops)
        assert all(loop.left for loop in loops)
