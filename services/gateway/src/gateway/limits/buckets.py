"""The buckets of rate limits: in Redis for all gateways, or in the memory of this process.

Both count all hits of a request or none. They return whether the hits were granted, and how many microseconds each
bucket is ahead of now (`gateway.limits.quota`).
"""

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from gateway.limits.quota import MICROSECONDS, Hit

TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local results, first = {}, 1
for size in string.gmatch(table.remove(ARGV, 1), '%d+') do
    local held, granted = {}, 1
    for i = first, first + size - 1 do
        local interval, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
        local ahead = math.max(0, (tonumber(redis.call('GET', KEYS[i])) or 0) - now)
        if ahead + interval > window then granted = 0 end
        table.insert(held, ahead)
    end
    if granted == 1 then
        for at, ahead in ipairs(held) do
            local i = first + at - 1
            held[at] = ahead + tonumber(ARGV[2 * i - 1])
            redis.call('SET', KEYS[i], string.format('%.0f', now + held[at]), 'PX', math.ceil(held[at] / 1000))
        end
    end
    table.insert(held, 1, granted)
    table.insert(results, held)
    first = first + size
end
return results
"""
"""Takes the hits of several requests.

The first argument has the number of hits of each request, separated by spaces. Each hit has one key and two arguments:
the interval and the window of its quota. The script returns a list for each request: 1 if it was granted, else 0, and
then the microseconds that each of its buckets is ahead of now. It uses the clock of the server, so that the clocks of
the gateways may differ.
"""

MAX_BATCH = 100
"""Maximum number of requests in one round trip. Redis executes nothing else while the script runs."""

TakeResult = tuple[bool, list[int]]


class SharedBuckets:
    """Buckets in Redis. Each expires when it is empty.

    Requests that arrive during a round trip share the next one, because most of its cost is system calls.
    """

    def __init__(self, *, redis: Redis) -> None:
        self._script = redis.register_script(TAKE)
        self._waiting: list[tuple[Sequence[Hit], asyncio.Future[TakeResult]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def take(self, hits: Sequence[Hit]) -> TakeResult:
        """Count all hits or none. This takes one round trip, or three if Redis lost its scripts.

        Raises:
            Exception: The round trip failed. All its requests get the same error.
        """
        result: asyncio.Future[TakeResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((hits, result))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await result

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                pending = [(hits, result) for hits, result in batch if not result.done()]  # not cancelled meanwhile
                if not pending:
                    continue
                hits = [hit for group, _ in pending for hit in group]
                sizes = " ".join(str(len(group)) for group, _ in pending)
                arguments: list[str | bytes] = [sizes, *(argument for hit in hits for argument in hit.quota.arguments)]
                try:
                    taken = await self._script(keys=[hit.key for hit in hits], args=arguments)
                except Exception as error:  # noqa: BLE001 - raised by each request of the batch
                    for _, result in pending:
                        if not result.done():
                            result.set_exception(error)
                else:
                    for (_, result), (granted, *held) in zip(pending, taken, strict=True):
                        if not result.done():
                            result.set_result((bool(granted), held))
        finally:
            self._sender = None


class LocalBuckets:
    """Buckets in memory, at most `max_buckets`. The least recently used is evicted, which restores its quota."""

    def __init__(self, *, clock: Callable[[], float], max_buckets: int = 10_000) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._until: dict[bytes, int] = {}

    def take(self, hits: Sequence[Hit]) -> TakeResult:
        """Count all hits or none."""
        now = int(self._clock() * MICROSECONDS)
        held = [max(0, self._until.get(hit.key, 0) - now) for hit in hits]
        granted = all(hit.quota.fits(held_us) for hit, held_us in zip(hits, held, strict=True))
        if granted:
            held = [held_us + hit.quota.interval_us for hit, held_us in zip(hits, held, strict=True)]
            for hit, held_us in zip(hits, held, strict=True):
                self._until.pop(hit.key, None)
                self._until[hit.key] = now + held_us
            while len(self._until) > self._max_buckets:
                del self._until[next(iter(self._until))]
        return granted, held
