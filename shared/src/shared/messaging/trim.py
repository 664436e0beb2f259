"""Trimming of the stream: an entry is deleted after every consumer group has acknowledged it.

MAXLEN could delete entries that a slow consumer has not read. The outbox keeps the events for longer.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

_GROUP_POSITIONS = """
local function positions(stream, groups)
  if redis.call('EXISTS', stream) == 0 then return nil end
  local wanted, oldest, done = {}, nil, nil
  for i = 1, #groups do wanted[groups[i]] = true end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local field = {}
    for i = 1, #group, 2 do field[group[i]] = group[i + 1] end
    local keep, acknowledged
    if field['pending'] > 0 then
      keep = tonumber(string.match(redis.call('XPENDING', stream, field['name'])[2], '^%d+'))
      acknowledged = keep - 1
    else
      keep = tonumber(string.match(field['last-delivered-id'], '^%d+'))
      acknowledged = keep
    end
    wanted[field['name']] = nil
    if oldest == nil or keep < oldest then oldest = keep end
    if done == nil or acknowledged < done then done = acknowledged end
  end
  if next(wanted) ~= nil then return nil end
  return oldest, done
end
"""
"""Returns the sequence of the oldest entry that a group needs (its oldest pending or its last delivered entry), and the
sequence up to which all have acknowledged; nil if the stream or one of `groups` does not exist."""

_TRIM = (
    _GROUP_POSITIONS
    + """
local oldest = positions(KEYS[1], ARGV)
if oldest == nil then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', oldest))
"""
)
_ACKNOWLEDGED = _GROUP_POSITIONS + "local _, done = positions(KEYS[1], ARGV); return done or 0"


async def trim_stream(redis: Redis, stream: str, *, groups: Sequence[str]) -> int:
    """Delete entries that every group has acknowledged, and return their number. Atomic.

    Nothing is deleted while one of `groups` does not exist: it will read from the beginning once it starts.
    """
    if not groups:
        return 0
    return int(await redis.register_script(_TRIM)(keys=[stream], args=list(groups)))


async def get_acknowledged_seq(redis: Redis, stream: str, *, groups: Sequence[str]) -> int:
    """Return the sequence up to which all groups have acknowledged; 0 while one of `groups` does not exist."""
    return int(await redis.register_script(_ACKNOWLEDGED)(keys=[stream], args=list(groups)))
