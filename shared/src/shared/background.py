"""Background loops, which run as long as their process and continue after outages."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

import structlog

from shared.errors.stores import is_statement_timeout, store_is_unavailable

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
CANCEL_AGAIN_S = 0.1
"""Time after which a task that ignored its cancellation is cancelled again."""
STEADY_S = 5.0
"""Duration of a run after which the pause before the next run is FIRST_PAUSE_S again."""


class BackgroundLoop(ABC):
    """Runs `_run` in a task while it is entered with `async with`.

    Crash-only: if `_run` raises, it is called again after a growing pause. So it has to read its state from PostgreSQL
    and Redis, and it can be cancelled at any await.
    """

    def __init__(self, *, drain_timeout_s: float = 0.0) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._stopping = asyncio.Event()
        self._is_cancellable = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_running(), name=str(self))
        await asyncio.sleep(0)  # the task starts before the next context manager is entered
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let current work finish within the drain timeout, then cancel."""
        if self._task is None:
            return
        self._stopping.set()
        if self._is_cancellable:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=self._drain_timeout_s)
        # Python 3.11: cancel until it ends. redis-py uses `asyncio.wait_for`, which can swallow a cancellation
        # (python/cpython#81839, fixed in 3.12).
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_AGAIN_S)

    @abstractmethod
    async def _run(self) -> None:
        """Work until `_stopping` is set. Raise if the work cannot continue."""

    def is_outage(self, error: Exception) -> bool:
        """Return whether an unavailable store caused `error`. Other errors are bugs, logged with a stack trace."""
        return store_is_unavailable(error) or is_statement_timeout(error)

    @contextmanager
    def _cancellable(self) -> Iterator[None]:
        """Mark the block as safe to cancel: a stop does not wait for it."""
        self._is_cancellable = True
        try:
            yield
        finally:
            self._is_cancellable = False

    async def _pause(self, seconds: float) -> None:
        """Sleep for `seconds`, or until the loop stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _keep_running(self) -> None:
        """Call `_run` until the loop stops, with a pause after each call."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = clock()
            try:
                await self._run()
            except Exception as error:
                if self.is_outage(error):
                    log.warning("background_interrupted", task=str(self), error=f"{type(error).__name__}: {error}")
                else:
                    log.exception("background_failed", task=str(self))
            if clock() - started > STEADY_S:
                pause = FIRST_PAUSE_S
            await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter of reconnects, not security
            pause = min(pause * 2, MAX_PAUSE_S)


@asynccontextmanager
async def run_loops(loops: Iterable[BackgroundLoop]) -> AsyncIterator[None]:
    """Run the loops until the block ends, then stop all of them concurrently."""
    async with AsyncExitStack() as stack:
        entered = [await stack.enter_async_context(loop) for loop in loops]
        try:
            yield
        finally:
            await asyncio.gather(*(loop.__aexit__(None, None, None) for loop in entered))
