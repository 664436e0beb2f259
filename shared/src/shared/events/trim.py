"""Trimming: an entry may go when every consumer group has acknowledged it, and not before.

MAXLEN would drop what a slow consumer has not seen. Postgres keeps the rows; the stream is only the way.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

_TRIM = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local wanted, lowest = {}, nil
for i = 1, #ARGV do wanted[ARGV[i]] = true end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local field = {}
  for i = 1, #group, 2 do field[group[i]] = group[i + 1] end
  local keep
  if field['pending'] > 0 then
    keep = redis.call('XPENDING', KEYS[1], field['name'])[2]
  else
    keep = field['last-delivered-id']
  end
  wanted[field['name']] = nil
  local seq = tonumber(string.match(keep, '^%d+'))
  if lowest == nil or seq < lowest then lowest = seq end
end
if next(wanted) ~= nil or lowest == nil then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', lowest))
"""
"""KEYS: stream. ARGV: groups that must exist. Keeps each group's oldest pending, else its last delivered entry."""


async def trim(redis: Redis, stream: str, *, groups: Sequence[str]) -> int:
    """Drop what every group has acknowledged; how many entries went.

    Nothing goes while one of `groups` does not exist: it has yet to start, or to start anew after Redis was flushed,
    and will read from the beginning. One atomic step; cost grows with what is dropped.
    """
    if not groups:
        return 0
    return int(await redis.register_script(_TRIM)(keys=[stream], args=list(groups)))
