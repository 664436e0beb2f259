"""A hedged read: if the first response is late, send the request again and use the response that comes first.

It cuts the slowest reads if slowness is random (a restart, a garbage collection) and not caused by load (Dean and
Barroso, "The tail at scale", CACM 2013). The retry budget pays for a hedge: otherwise slowness would double the load.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def call_with_hedge(call: Callable[[], Awaitable[T]], *, after_s: float, may_hedge: Callable[[], bool]) -> T:
    """Return the first result of one or two calls, and cancel the other call. If both fail, raise the last error.

    If the first call has not ended after `after_s` seconds, `may_hedge` decides whether a second call is made.
    """
    tasks = {_start(call)}
    try:
        done, _ = await asyncio.wait(tasks, timeout=after_s)
        if not done and may_hedge():
            tasks.add(_start(call))
        return await _first_result(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_result(tasks: set[asyncio.Task[T]]) -> T:
    pending = tasks
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        succeeded = [task for task in done if task.exception() is None]
        if succeeded or not pending:
            return (succeeded or list(done))[-1].result()


def _start(call: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
    async def run() -> T:
        return await call()

    return asyncio.create_task(run())
