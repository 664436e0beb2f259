"""Trimming: an entry may go when every consumer group has acknowledged it, and not before.

MAXLEN would drop what a slow consumer has not seen. Postgres keeps the rows; the stream is only the way.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

_SETTLED = """
local function settled(stream, groups)
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
"""Gives the number of the oldest entry that some group still needs (its oldest pending, else its last delivered), and
up to which number all have acknowledged; nil where the stream or one of `groups` does not exist."""

_TRIM = (
    _SETTLED
    + """
local oldest = settled(KEYS[1], ARGV)
if oldest == nil then return 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', oldest))
"""
)
_ACKNOWLEDGED = _SETTLED + "local _, done = settled(KEYS[1], ARGV); return done or 0"


async def trim(redis: Redis, stream: str, *, groups: Sequence[str]) -> int:
    """Drop what every group has acknowledged; how many entries went.

    Nothing goes while one of `groups` does not exist: it has yet to start, or to start anew after Redis was flushed,
    and will read from the beginning. One atomic step; cost grows with what is dropped.
    """
    if not groups:
        return 0
    return int(await redis.register_script(_TRIM)(keys=[stream], args=list(groups)))


async def acknowledged(redis: Redis, stream: str, *, groups: Sequence[str]) -> int:
    """Up to which number every group has acknowledged everything; 0 while one of `groups` does not exist."""
    return int(await redis.register_script(_ACKNOWLEDGED)(keys=[stream], args=list(groups)))
