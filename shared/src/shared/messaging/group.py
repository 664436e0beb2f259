"""Membership in a consumer group: reading, claiming stale entries, acknowledging."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.messaging.cloudevent import CloudEvent

BATCH = 100
BLOCK_S = 4.0
MEMBER_RETENTION_S = 3600.0

_DELETE_IDLE_MEMBERS = """
local deleted = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local field = {}
  for i = 1, #consumer, 2 do field[consumer[i]] = consumer[i + 1] end
  if field['pending'] == 0 and field['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], field['name'])
    deleted = deleted + 1
  end
end
return deleted
"""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """A stream entry. `redelivered` means that Redis has delivered it before.

    If the body is not a valid event, `event` is None and `decode_error` has the reason.
    """

    id: str
    body: bytes
    event: CloudEvent | None
    decode_error: str
    redelivered: bool


class ConsumerGroup:
    """Membership of `consumer` in `group` of `stream`. Methods raise `RedisError` if Redis is unavailable.

    `block_s` is the longest wait for new entries, in seconds.
    """

    def __init__(
        self,
        *,
        redis: Redis,
        stream: str,
        group: str,
        consumer: str,
        claim_idle_s: float,
        block_s: float = BLOCK_S,
        member_retention_s: float = MEMBER_RETENTION_S,
    ) -> None:
        self._redis = redis
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._claim_idle_ms = int(claim_idle_s * 1000)
        self._block_ms = int(block_s * 1000)
        self._member_retention_ms = int(member_retention_s * 1000)

    async def join(self) -> None:
        """Create the group if it is missing, from the beginning of the stream; the inbox skips applied events.

        Also delete members that were idle for `member_retention_s` seconds and have no pending entries, because each
        start of a process adds a member.
        """
        try:
            await self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        await self._redis.register_script(_DELETE_IDLE_MEMBERS)(
            keys=[self._stream], args=[self._group, self._member_retention_ms]
        )

    async def read_pending(self) -> AsyncIterator[list[StreamEntry]]:
        """Yield batches of entries that were delivered to this member before an outage and not acknowledged.

        Their delivery count is reset to one. Otherwise a long outage would look like an entry that crashes consumers.
        """
        after = "0"
        while entries := await self._read(after, block_ms=None):
            await self._redis.xclaim(
                self._stream, self._group, self._consumer, 0, [entry.id for entry in entries], retrycount=1, justid=True
            )
            yield entries
            after = entries[-1].id

    async def read_new(self) -> list[StreamEntry]:
        """Return new entries in order; an empty list if none arrives within `block_s`."""
        return await self._read(">", block_ms=self._block_ms)

    async def claim_stale(self) -> AsyncIterator[StreamEntry]:
        """Claim and yield entries that other members did not acknowledge within `claim_idle_s`.

        They are claimed one by one, so that the delivery count of an entry grows only when it is processed.
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

    async def count_deliveries(self, entry_id: str) -> int:
        """Return how often the entry was delivered, to any member."""
        found = await self._redis.xpending_range(self._stream, self._group, min=entry_id, max=entry_id, count=1)
        return int(found[0]["times_delivered"]) if found else 0

    async def acknowledge(self, *entry_ids: str) -> None:
        """Acknowledge the entries, so that they are not delivered again."""
        if entry_ids:
            await self._redis.xack(self._stream, self._group, *entry_ids)

    async def _read(self, after: str, *, block_ms: int | None) -> list[StreamEntry]:
        response = await self._redis.xreadgroup(
            self._group, self._consumer, {self._stream: after}, count=BATCH, block=block_ms
        )
        entries = response[0][1] if response else []
        return [_entry(entry_id, fields, redelivered=after != ">") for entry_id, fields in entries]


def _entry(entry_id: bytes, fields: dict[bytes, bytes], *, redelivered: bool) -> StreamEntry:
    body = fields.get(b"event", b"")
    event, decode_error = None, ""
    try:
        event = CloudEvent.decode(body)
    except ValidationError as error:
        decode_error = str(error)
    return StreamEntry(entry_id.decode(), body, event, decode_error, redelivered)
