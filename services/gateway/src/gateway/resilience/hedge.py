"""A hedged read: where the first answer is late, ask a second time and take whichever comes first.

It cuts the slowest reads to the usual time where slowness is bad luck (a restart, a collection) and not load (Dean and
Barroso, "The tail at scale", CACM 2013). A hedge is paid from the retry budget, or slowness would double the load.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def hedged(ask: Callable[[], Awaitable[T]], *, after_s: float, may_hedge: Callable[[], bool]) -> T:
    """The first answer of one or two calls; where both raise, what the last of them raised. The other one is cancelled.

    `may_hedge` is asked after `after_s` seconds without an answer.
    """
    racers = {_race(ask)}
    try:
        done, _ = await asyncio.wait(racers, timeout=after_s)
        if not done and may_hedge():
            racers.add(_race(ask))
        return await _first(racers)
    finally:
        for racer in racers:
            racer.cancel()
        await asyncio.gather(*racers, return_exceptions=True)


async def _first(racers: set[asyncio.Task[T]]) -> T:
    pending = racers
    while True:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        answered = [racer for racer in done if racer.exception() is None]
        if answered or not pending:
            return (answered or list(done))[-1].result()


def _race(ask: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
    async def run() -> T:
        return await ask()

    return asyncio.create_task(run())
