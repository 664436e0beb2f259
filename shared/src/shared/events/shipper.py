"""Seal, then ship: the relay's algorithm, without its life around it.

*Seal* gives committed rows that have none a `pub_seq`: 1, 2, 3… without a gap, in the order of insertion. From then
on what the stream must hold is decided: entry `<n>-0` is the row with `pub_seq` n. *Ship* appends the next rows in
one atomic step that first compares the stream's last id with what we believe it to be. There is no "published" flag
to be wrong: Redis itself says what it has.

- Appended, but we died before noting it: the next one reads the stream's last id and goes on from there.
- Redis was flushed, or came back without its latest writes: its last id is smaller, so we rewind to it.
- Another relay was quicker, or a frozen one wakes up: the comparison fails, nothing is appended, we catch up.
- Postgres came back from a backup: the stream knows events that never happened, so it is made anew.
- Old rows were removed (`retention`): numbering goes on from the floor, and a stream made anew begins above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import asyncpg
import structlog
from opentelemetry.trace import Span
from redis.asyncio import Redis

from shared.crash import crash_point
from shared.events.cloudevent import encode_stored
from shared.events.floor import FLOOR_SEQ, HEAD_SEQ
from shared.events.tracing import Trace, start_publish_span
from shared.redis import server_attributes

log = structlog.get_logger(__name__)

BATCH = 500

_COLUMNS = "pub_seq, id, source, type, subject, time, data, traceparent, tracestate, baggage"

_SEAL = f"""
WITH head AS (SELECT {HEAD_SEQ} AS seq),
oldest AS (SELECT id, position FROM outbox WHERE pub_seq IS NULL ORDER BY position LIMIT $1),
sealed AS (SELECT oldest.id, head.seq + row_number() OVER (ORDER BY oldest.position) AS seq FROM oldest, head)
UPDATE outbox SET pub_seq = sealed.seq FROM sealed WHERE outbox.id = sealed.id
RETURNING {", ".join(f"outbox.{column}" for column in _COLUMNS.split(", "))}
"""  # noqa: S608 - made of constants

_ENDS = f"SELECT {FLOOR_SEQ} AS floor, {HEAD_SEQ} AS head"

_READ = f"SELECT {_COLUMNS} FROM outbox WHERE pub_seq > $1 ORDER BY pub_seq LIMIT $2"  # noqa: S608 - likewise

_LAST_OF = """
local function last_of(stream)
  if redis.call('EXISTS', stream) == 0 then return 0 end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return tonumber(string.match(info[i + 1], '^%d+')) end
  end
end
"""

_APPEND = (
    _LAST_OF
    + """
local last = last_of(KEYS[1])
if last == tonumber(ARGV[1]) then
  for i = 2, #ARGV, 2 do
    redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'event', ARGV[i + 1])
    last = tonumber(ARGV[i])
  end
end
return last
"""
)
"""KEYS: stream. ARGV: its expected last id, then the number and the body of each event.

Returns the last id afterwards, appended or not.
"""

_DELETE = _LAST_OF + "if last_of(KEYS[1]) == tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class _Shipment:
    """One row on its way; `span` ends when the stream has it."""

    seq: int
    body: bytes
    span: Span | None


class Shipper:
    """Moves one outbox into one stream. Holds no state that it could not read again."""

    def __init__(self, *, connection: "asyncpg.Connection[asyncpg.Record]", redis: Redis, stream: str) -> None:
        self._connection = connection
        self._redis = redis
        self._stream = stream
        self._server = server_attributes(redis)
        self._append = redis.register_script(_APPEND)
        self._delete = redis.register_script(_DELETE)
        self._shipped: int | None = None  # the stream's last id as we know it

    @property
    def shipped(self) -> int | None:
        """The last id of the stream as far as is known; None before the first step."""
        return self._shipped

    async def step(self) -> bool:
        """Seal and ship one batch; True while there may be more to do at once."""
        return await self.ship(await self.seal())

    async def seal(self) -> list[asyncpg.Record]:
        """Give the oldest unsealed rows their `pub_seq`; the sealed rows in that order. Committed on return."""
        rows = await self._connection.fetch(_SEAL, BATCH)
        return sorted(rows, key=lambda row: cast("int", row["pub_seq"]))

    async def ship(self, sealed: list[asyncpg.Record]) -> bool:
        """Append what the stream lacks next; `sealed` spares reading it when it is just that."""
        if self._shipped is None:
            await self._settle(await self._append_after(0, ()))
        shipped = self._shipped or 0
        rows = sealed if sealed and sealed[0]["pub_seq"] == shipped + 1 else await self._read_after(shipped)
        batch = [self._shipment(row) for row in rows]
        last = await self._append_after(shipped, batch)
        crash_point("relay.after_append")
        for shipment in batch:
            if shipment.span and shipment.seq <= last:
                shipment.span.end()
        if last != (batch[-1].seq if batch else shipped):
            await self._settle(last)
            return True
        self._shipped = last
        return len(batch) == BATCH

    async def _settle(self, last: int) -> None:
        """Go on from where the stream is: rewind, catch up, or make anew a stream that cannot be continued.

        Such is one that is ahead of the outbox, and one that ends below the floor: what it lacks is gone, as all had
        acknowledged it, and what it has would be applied again by whom it finds without an inbox row.
        The outbox is read after the stream, and rows are sealed before they are shipped: a stream that is ahead
        can not be the work of another relay.
        """
        if self._shipped is not None and last < self._shipped:
            log.warning("stream_rewound", stream=self._stream, known=self._shipped, found=last)
        ends = await self._connection.fetchrow(_ENDS)
        floor, head = (ends["floor"], ends["head"]) if ends else (0, 0)
        if last > head or 0 < last < floor:
            log.error("stream_made_anew", stream=self._stream, outbox=[floor, head], stream_last=last)
            await self._delete(keys=[self._stream], args=[last])
            last = 0
        self._shipped = last

    async def _read_after(self, seq: int) -> list[asyncpg.Record]:
        return list(await self._connection.fetch(_READ, seq, BATCH))

    async def _append_after(self, expected: int, batch: Sequence[_Shipment]) -> int:
        arguments: list[int | bytes] = [expected]
        for shipment in batch:
            arguments += (shipment.seq, shipment.body)
        return int(await self._append(keys=[self._stream], args=arguments))

    def _shipment(self, row: asyncpg.Record) -> _Shipment:
        attributes = dict(row)
        seq, data = attributes.pop("pub_seq"), attributes.pop("data")
        arrived = Trace(row["traceparent"], row["tracestate"], row["baggage"])
        if arrived.traceparent is None:
            return _Shipment(seq, encode_stored(attributes, data=data), None)
        span = start_publish_span(self._stream, attributes, arrived, server=self._server)
        carried = arrived.continued_by(span)
        attributes |= {"traceparent": carried.traceparent, "tracestate": carried.tracestate}
        return _Shipment(seq, encode_stored(attributes, data=data), span)
