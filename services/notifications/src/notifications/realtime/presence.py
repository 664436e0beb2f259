"""The number of sockets in each room, over all processes.

A room has a hash in Redis with one field per process: its number of members and the expiry of that number. Each process
renews its fields with a heartbeat, and adds the fields of other processes that have not expired. So a killed process is
not counted after `LIFETIME_BEATS` heartbeats, and its fields need no cleanup.
"""

from collections.abc import Sequence
from itertools import count
from typing import Final
from uuid import uuid4

from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import Redis

from notifications.realtime.publisher import room_channel
from notifications.realtime.rooms import Rooms
from shared.background import BackgroundLoop

LIFETIME_BEATS: Final = 3
"""A process is not counted after this number of missed heartbeats."""

MAX_TICK_S: Final = 0.5
"""Joins and leaves of a room within this time are reported and published together."""

ROOMS_PER_ROUND_TRIP: Final = 100
REPORT_TIMEOUT_S: Final = 1.0

REPORT: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local process, count, lifetime, known = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local total = count
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
    local viewers, expires = string.match(fields[i + 1], '(%d+) (%d+)')
    if tonumber(expires) <= now then
        redis.call('HDEL', KEYS[1], fields[i])
    elseif fields[i] ~= process then
        total = total + viewers
    end
end
if count > 0 then
    redis.call('HSET', KEYS[1], process, string.format('%d %.0f', count, now + lifetime))
    redis.call('PEXPIRE', KEYS[1], lifetime)
else
    redis.call('HDEL', KEYS[1], process)
end
if total ~= known then
    redis.call('PUBLISH', ARGV[5], string.format('{"t":"viewers","room":"%s","viewers":%d}', ARGV[6], total))
end
"""
"""Report the members that one process has in one room. Only the clock of the Redis server is used.

Publishes the total if it differs from the last one that the process received: a socket has joined or left, a process
has expired, or a message was lost.
"""


def _key(room: str) -> str:
    return f"notifications:room-viewers:{room}"


class Presence(BackgroundLoop):
    """Reports the members of this process's rooms every `heartbeat_s` seconds, and changes within a tick."""

    def __init__(self, *, redis: Redis, rooms: Rooms, heartbeat_s: float) -> None:
        super().__init__(drain_timeout_s=REPORT_TIMEOUT_S)
        self._redis = redis
        self._rooms = rooms
        self._heartbeat_s = heartbeat_s
        self._process = uuid4().hex

    def __str__(self) -> str:
        return "presence"

    async def _run(self) -> None:
        """Report all rooms with each heartbeat and changed rooms with each tick, and once more at the end."""
        tick_s = min(MAX_TICK_S, self._heartbeat_s / 5)
        ticks_per_heartbeat = round(self._heartbeat_s / tick_s)
        with suppress_instrumentation():
            for tick in count():
                if tick % ticks_per_heartbeat == 0:
                    self._rooms.changed.update(self._rooms)
                await self._report_changed()
                if self._stopping.is_set():
                    return
                await self._pause(tick_s)

    async def _report_changed(self) -> None:
        """Report the rooms in `changed`. After a failure of Redis, the next run begins with all rooms."""
        rooms, self._rooms.changed = list(self._rooms.changed), set()
        for start in range(0, len(rooms), ROOMS_PER_ROUND_TRIP):
            await self._report(rooms[start : start + ROOMS_PER_ROUND_TRIP])

    async def _report(self, names: Sequence[str]) -> None:
        lifetime_ms = round(LIFETIME_BEATS * self._heartbeat_s * 1000)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                room = self._rooms.get(name)
                members, known = (len(room.members), room.viewers) if room else (0, 0)
                arguments = (self._process, str(members), str(lifetime_ms), str(known), room_channel(name), name)
                pipeline.eval(REPORT, 1, _key(name), *arguments)
            await pipeline.execute()
