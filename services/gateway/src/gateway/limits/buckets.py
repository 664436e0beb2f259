"""Where buckets are kept: in Redis for all gateways together, or in this process alone.

Both take the same charges, all or none, and answer `(granted, microseconds each bucket is ahead of now)`.
"""

from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.limits.quota import MICROSECONDS, Charge, fits

TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local held, granted = {}, 1
for i, key in ipairs(KEYS) do
    local interval, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    held[i] = math.max(0, (tonumber(redis.call('GET', key)) or 0) - now)
    if held[i] + interval > window then granted = 0 end
end
if granted == 1 then
    for i, key in ipairs(KEYS) do
        held[i] = held[i] + tonumber(ARGV[2 * i - 1])
        redis.call('SET', key, string.format('%.0f', now + held[i]), 'PX', math.ceil(held[i] / 1000))
    end
end
table.insert(held, 1, granted)
return held
"""
"""By the server's own clock, so that gateways need not agree on the time."""

Taken = tuple[bool, list[int]]


class SharedBuckets:
    """Buckets in Redis; each expires once it is empty."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(TAKE)

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Charge all or none: one round trip, and two more for the first after Redis has lost its scripts."""
        keys = [charge.key for charge in charges]
        arguments = [str(part) for charge in charges for part in (charge.quota.interval_us, charge.quota.window_us)]
        try:
            answer = await self._redis.evalsha(self._script.sha, len(keys), *keys, *arguments)  # type: ignore[misc]  # async
        except NoScriptError:
            answer = await self._script(keys=keys, args=arguments)
        granted, *held = answer
        return bool(granted), held


class LocalBuckets:
    """Buckets in memory, at most `most`: beyond that the one touched longest ago is forgotten, which is generous."""

    def __init__(self, *, clock: Callable[[], float], most: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._until: dict[str, int] = {}

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
