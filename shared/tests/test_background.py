"""A background loop logs an error and restarts, and it ends with its service."""

import asyncio

import pytest
from redis.exceptions import ResponseError
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from shared.background import BackgroundLoop, run_loops
from testkit.waiting import TIMEOUT_S, eventually


class FailingLoop(BackgroundLoop):
    """A loop that raises one of `errors` in each run, then runs until it is stopped."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.is_running = asyncio.Event()

    async def _run(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.is_running.set()
        await self._stopping.wait()


class CancellationSwallowingLoop(BackgroundLoop):
    """A loop that swallows the first cancellation, as redis-py sometimes does on Python 3.11."""

    cancellations = 0

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancellations += 1
                if self.cancellations > 1:
                    raise


class WaitingLoop(BackgroundLoop):
    """A loop that ends when all loops of `barrier` were stopped."""

    def __init__(self, barrier: asyncio.Barrier) -> None:
        super().__init__(drain_timeout_s=5)
        self.barrier = barrier
        self.has_ended = False

    async def _run(self) -> None:
        await self._stopping.wait()
        await self.barrier.wait()
        self.has_ended = True


class TestBackgroundLoop:
    @pytest.mark.parametrize(
        "error",
        [ConnectionError("refused"), OperationalError("SELECT", {}, Exception("closed")), ResponseError("OOM memory")],
        ids=["connection", "PostgreSQL", "Redis"],
    )
    async def test_outage_is_logged_as_a_warning_and_the_loop_restarts(self, error: Exception) -> None:
        with capture_logs() as records:
            async with FailingLoop(error) as loop:
                await eventually(loop.is_running.is_set)
        [record] = records
        assert (record["event"], record["log_level"]) == ("background_interrupted", "warning")

    @pytest.mark.parametrize(
        "error",
        [ValueError("bug"), IntegrityError("INSERT", {}, Exception("duplicate key")), ResponseError("WRONGTYPE hash")],
        ids=["Python", "PostgreSQL", "Redis"],
    )
    async def test_bug_is_logged_as_an_error_with_its_stack_and_the_loop_restarts(self, error: Exception) -> None:
        with capture_logs() as records:
            async with FailingLoop(error) as loop:
                await eventually(loop.is_running.is_set)
        [record] = records
        assert (record["event"], record["log_level"], record["exc_info"]) == ("background_failed", "error", True)

    async def test_loop_ends_when_it_swallows_a_cancellation(self) -> None:
        async with asyncio.timeout(TIMEOUT_S), CancellationSwallowingLoop() as loop:
            pass
        assert loop.cancellations == 2

    async def test_loop_has_started_when_the_block_begins(self) -> None:
        async with FailingLoop() as loop:
            assert loop.is_running.is_set()


class TestRunLoops:
    async def test_all_loops_stop_concurrently(self) -> None:
        barrier = asyncio.Barrier(3)
        loops = [WaitingLoop(barrier) for _ in range(barrier.parties)]
        async with run_loops(loops):
            assert not any(loop.has_ended for loop in loops)
        assert all(loop.has_ended for loop in loops)
