"""A loop that runs beside a service for as long as the service does, through every outage."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import ClassVar, Self

import structlog

from shared.store_errors import STORE_ERRORS

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
CANCEL_AGAIN_S = 0.1
STEADY_S = 5.0
"""A run that lasted this long was well; the pauses begin anew after it."""


class Background(ABC):
    """Keeps `_run` running from `async with` on until its end.

    Crash-only: whatever goes wrong, `_run` raises, and is called again after a growing pause. It must therefore find
    out where it stands from Postgres and Redis, never from memory, and may be cancelled at any await.
    """

    outages: ClassVar[tuple[type[Exception], ...]] = STORE_ERRORS
    """What `_run` raises if a server fails: logged in one line. Anything else is a bug and gets a traceback."""

    def __init__(self, *, drain_timeout_s: float = 0.0) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._stopping = asyncio.Event()
        self._at_rest = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_running(), name=str(self))
        await asyncio.sleep(0)  # let it begin, so that whoever enters next finds it listening
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the work in hand finish within the drain timeout, then cancel."""
        if self._task is None:
            return
        self._stopping.set()
        if self._at_rest:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=self._drain_timeout_s)
        # Python 3.11: cancel until it ends. redis-py sends through `asyncio.wait_for`, which can swallow a cancellation
        # (python/cpython#81839, fixed in 3.12).
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_AGAIN_S)

    @abstractmethod
    async def _run(self) -> None:
        """Work until `_stopping` is set; raise where the work cannot go on."""

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Inside the block there is nothing to finish: a stop cancels at once."""
        self._at_rest = True
        try:
            yield
        finally:
            self._at_rest = False

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _keep_running(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = clock()
            try:
                await self._run()
            except self.outages as outage:
                log.warning("background_interrupted", task=str(self), error=f"{type(outage).__name__}: {outage}")
            except Exception:
                log.exception("background_failed", task=str(self))
            pause = FIRST_PAUSE_S if clock() - started > STEADY_S else min(pause * 2, LONGEST_PAUSE_S)
            await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects, guards nothing


@asynccontextmanager
async def running(loops: Iterable[Background]) -> AsyncIterator[None]:
    """Keep all of these running until the block ends, then stop them at once: that takes as long as the slowest."""
    async with AsyncExitStack() as stack:
        entered = [await stack.enter_async_context(loop) for loop in loops]
        try:
            yield
        finally:
            await asyncio.gather(*(loop.__aexit__(None, None, None) for loop in entered))
