"""Where buckets are kept: in Redis for all gateways together, or in this process alone.

Both take the same charges, all or none, and answer `(granted, microseconds each bucket is ahead of now)`.
"""

import asyncio
from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.limits.quota import MICROSECONDS, Charge, fits
from shared.store_errors import REDIS_ERRORS

TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answers, first = {}, 1
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
    table.insert(answers, held)
    first = first + size
end
return answers
"""
"""By the server's own clock, so that gateways need not agree on the time."""

MOST_AT_ONCE = 100
"""Requests that share a round trip; a script runs alone, and Redis has others to serve."""

Taken = tuple[bool, list[int]]


class SharedBuckets:
    """Buckets in Redis; each expires once it is empty.

    Requests that come while a round trip is under way share the next one: its cost is mostly the system calls.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(TAKE)
        self._waiting: list[tuple[Sequence[Charge], asyncio.Future[Taken]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Charge all or none, in one round trip; two more for the first after Redis has lost its scripts."""
        taken: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((charges, taken))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await taken

    async def _send(self) -> None:
        try:
            while self._waiting:
                sharing, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                patient = [each for each in sharing if not each[1].done()]  # the others are counted locally by now
                if patient:
                    await self._settle(patient)
        finally:
            self._sender = None

    async def _settle(self, sharing: Sequence[tuple[Sequence[Charge], asyncio.Future[Taken]]]) -> None:
        """Answer all who share a trip, or fail all of them with it; who has given up meanwhile is passed over."""
        try:
            answers = await self._exchange([charges for charges, _ in sharing])
        except REDIS_ERRORS as error:
            for _, taken in sharing:
                if not taken.done():
                    taken.set_exception(error)
            return
        for (_, taken), (granted, *held) in zip(sharing, answers, strict=True):
            if not taken.done():
                taken.set_result((bool(granted), held))

    async def _exchange(self, groups: Sequence[Sequence[Charge]]) -> list[list[int]]:
        charges = [charge for group in groups for charge in group]
        keys = [charge.key for charge in charges]
        arguments = [" ".join([str(len(group)) for group in groups]).encode()]
        for charge in charges:
            arguments += charge.quota.arguments
        try:
            answers: list[list[int]] = await self._redis.execute_command(  # type: ignore[no-untyped-call]
                "EVALSHA", self._script.sha, len(keys), *keys, *arguments
            )
        except NoScriptError:
            answers = await self._script(keys=keys, args=arguments)
        return answers


class LocalBuckets:
    """Buckets in memory, at most `most`: beyond that the one touched longest ago is forgotten, which is generous."""

    def __init__(self, *, clock: Callable[[], float], most: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._until: dict[bytes, int] = {}

    def take(self, charges: Sequence[Charge]) -> Taken:
        """Charge all or none."""
        now = int(self._clock() * MICROSECONDS)
        held = [max(0, self._until.get(charge.key, 0) - now) for charge in charges]
        granted = all(fits(charge.quota, ahead) for charge, ahead in zip(charges, held, strict=True))
        if granted:
            held = [ahead + charge.quota.interval_us for charge, ahead in zip(charges, held, strict=True)]
            for charge, ahead in zip(charges, held, strict=True):
                self._until.pop(charge.key, None)
                self._until[charge.key] = now + ahead
            while len(self._until) > self._most:
                del self._until[next(iter(self._until))]
        return granted, held
