"""A consumer group's side of a stream: reading, taking over from the dead, acknowledging."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.events.cloudevent import CloudEvent

BATCH = 100
BLOCK_MS = 4000
FORGET_S = 3600.0

_FORGET = """
local forgotten = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local field = {}
  for i = 1, #consumer, 2 do field[consumer[i]] = consumer[i + 1] end
  if field['pending'] == 0 and field['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], field['name'])
    forgotten = forgotten + 1
  end
end
return forgotten
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry; `redelivered` where it was handed out before.

    `event` is None where the body is no CloudEvent; `flaw` says why.
    """

    id: str
    body: bytes
    event: CloudEvent | None
    flaw: str
    redelivered: bool


class Group:
    """This process's membership, as `consumer`, in `group` of `stream`; raises `RedisError` while Redis is away."""

    def __init__(
        self,
        *,
        redis: Redis,
        stream: str,
        group: str,
        consumer: str,
        claim_idle_s: float,
        forget_s: float = FORGET_S,
    ) -> None:
        self._redis = redis
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._claim_idle_ms = int(claim_idle_s * 1000)
        self._forget_ms = int(forget_s * 1000)

    async def join(self) -> None:
        """Create the group where it is missing, from the stream's beginning: the inbox knows what is old.

        Also forgets members that were not heard of for an hour and left nothing behind: each start is a new member.
        """
        try:
            await self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        await self._redis.register_script(_FORGET)(keys=[self._stream], args=[self._group, self._forget_ms])

    async def unfinished(self) -> AsyncIterator[list[Entry]]:
        """What this member was handed before and has not acknowledged, in batches: an outage came between.

        Each starts anew with one delivery: reading it again counts as one, and an outage of some length would look
        like an entry that kills its consumers. This member has it and lives.
        """
        after = "0"
        while entries := await self._read(after, block_ms=None):
            await self._redis.xclaim(
                self._stream, self._group, self._consumer, 0, [entry.id for entry in entries], retrycount=1, justid=True
            )
            yield entries
            after = entries[-1].id

    async def next(self) -> list[Entry]:
        """What nobody was handed yet, in order; waits for it up to `BLOCK_MS`, then gives nothing."""
        return await self._read(">", block_ms=BLOCK_MS)

    async def abandoned(self) -> AsyncIterator[Entry]:
        """Take over what other members were handed and did not acknowledge in time.

        One by one, so that an entry's delivery count grows when it is tried and not when its neighbour is.
        """
        after = "0-0"
        while True:
            after, claimed, _ = await self._redis.xautoclaim(
                self._stream, self._group, self._consumer, self._claim_idle_ms, start_id=after, count=1
            )
            for entry_id, fields in claimed:
                yield _entry(entry_id, fields, redelivered=True)
            if after == b"0-0":
                return

    async def deliveries(self, entry_id: str) -> int:
        """How often the entry has been handed out, to whomever."""
        found = await self._redis.xpending_range(self._stream, self._group, min=entry_id, max=entry_id, count=1)
        return int(found[0]["times_delivered"]) if found else 0

    async def acknowledge(self, *entry_ids: str) -> None:
        """Never be handed these again."""
        if entry_ids:
            await self._redis.xack(self._stream, self._group, *entry_ids)

    async def _read(self, after: str, *, block_ms: int | None) -> list[Entry]:
        replies = await self._redis.xreadgroup(
            self._group, self._consumer, {self._stream: after}, count=BATCH, block=block_ms
        )
        entries = replies[0][1] if replies else []
        return [_entry(entry_id, fields, redelivered=after != ">") for entry_id, fields in entries]


def _entry(entry_id: bytes, fields: dict[bytes, bytes], *, redelivered: bool) -> Entry:
    body = fields.get(b"event", b"")
    event, flaw = None, ""
    try:
        event = CloudEvent.decode(body)
    except ValidationError as error:
        flaw = str(error)
    return Entry(entry_id.decode(), body, event, flaw, redelivered)
