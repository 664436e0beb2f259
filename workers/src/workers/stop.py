"""SIGTERM and SIGINT: pick nothing more, finish what is in hand, release the rest, close everything, end ARQ.

ARQ's own handling cancels at once, or with `job_completion_wait` after a while, a job that it is just about to begin
as well; that cancellation then ends its closing half-way, with connections open and the last spans unsent.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import structlog

from workers.arq_redis import PatientRedis

log = structlog.get_logger(__name__)

DRAIN_S = 2.0
"""ARQ looks for work many times a second; where it does not, Redis is away, and it begins nothing either."""
RELEASE_S = 5.0


class GracefulStop:
    """Ends the ARQ worker whose main task is the current one; `close` closes all that jobs need.

    Jobs in hand get `patience_s` seconds to finish.
    """

    def __init__(self, *, redis: PatientRedis, close: Callable[[], Awaitable[None]], patience_s: float) -> None:
        self._redis = redis
        self._close = close
        self._patience_s = patience_s
        self._main = asyncio.current_task()
        self._stopping: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Begin to stop on a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.begin)

    def begin(self) -> None:
        """Stop; a second signal changes nothing."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="stop")

    async def _stop(self) -> None:
        log.info("worker_stopping", in_hand=len(_in_hand()))
        await asyncio.wait([asyncio.create_task(self._redis.drain())], timeout=DRAIN_S)
        if in_hand := _in_hand():
            await asyncio.wait(in_hand, timeout=self._patience_s)
        if unfinished := _in_hand():
            for job in unfinished:
                job.cancel()
            await asyncio.wait(unfinished, timeout=RELEASE_S)
        await self._close()
        self._redis.end_patience()
        if self._main is not None:
            self._main.cancel()


def _in_hand() -> set[asyncio.Task[object]]:
    """ARQ's tasks, one per job from pick to bookkeeping; it keeps them to itself."""
    return {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "") == "Worker.run_job"}
