"""Appends outbox rows to the stream: the algorithm of the relay.

1. Assign a sequence: committed rows get `pub_seq` 1, 2, 3… without gaps, in the order of insertion. This determines the
   content of the stream: entry `<n>-0` is the row with `pub_seq` n.
2. Append the next rows in one atomic script, which first compares the last id of the stream with the expected one.

No flag marks published rows. The last id of the stream shows which rows were appended, also after failures:

- The relay crashed after appending: the next leader reads the last id and continues from there.
- Redis was flushed or lost its latest writes: the last id is lower, and the relay appends the missing rows again.
- Another relay appended, or a frozen one resumes: the comparison fails, nothing is appended, and the relay catches up.
- PostgreSQL was restored from a backup: the stream has events that do not exist any more, so it is recreated.
- Old rows were deleted (`retention`): the sequence continues, and a recreated stream begins above the low-water mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import asyncpg
import structlog
from opentelemetry.trace import Span
from redis.asyncio import Redis

from shared.db.redis import server_attributes
from shared.faults.crash_points import crash_point
from shared.messaging.cloudevent import encode_stored
from shared.messaging.low_water_mark import HEAD_SEQ, LOW_WATER_SEQ
from shared.messaging.tracing import TraceContext, start_publish_span

log = structlog.get_logger(__name__)

BATCH = 500

_COLUMNS = "pub_seq, id, source, type, subject, time, data, traceparent, tracestate, baggage"

_ASSIGN_SEQUENCE = f"""
WITH head AS (SELECT {HEAD_SEQ} AS seq),
oldest AS (SELECT id, position FROM outbox WHERE pub_seq IS NULL ORDER BY position LIMIT $1),
sequenced AS (SELECT oldest.id, head.seq + row_number() OVER (ORDER BY oldest.position) AS seq FROM oldest, head)
UPDATE outbox SET pub_seq = sequenced.seq FROM sequenced WHERE outbox.id = sequenced.id
RETURNING {", ".join(f"outbox.{column}" for column in _COLUMNS.split(", "))}
"""  # noqa: S608 - constants only

_ENDS = f"SELECT {LOW_WATER_SEQ} AS low_water, {HEAD_SEQ} AS head"

_READ = f"SELECT {_COLUMNS} FROM outbox WHERE pub_seq > $1 ORDER BY pub_seq LIMIT $2"  # noqa: S608 - constants only

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
"""KEYS: stream. ARGV: its expected last id, then the sequence and the body of each event.

Returns the last id of the stream, whether events were appended or not.
"""

_DELETE = _LAST_OF + "if last_of(KEYS[1]) == tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class _NewEntry:
    """An entry to append; `span` ends when the stream has it."""

    seq: int
    body: bytes
    span: Span | None


class StreamAppender:
    """Appends the rows of an outbox to a stream. All state can be read again from PostgreSQL and Redis."""

    def __init__(self, *, connection: "asyncpg.Connection[asyncpg.Record]", redis: Redis, stream: str) -> None:
        self._connection = connection
        self._redis = redis
        self._stream = stream
        self._server = server_attributes(redis)
        self._append_script = redis.register_script(_APPEND)
        self._delete_script = redis.register_script(_DELETE)
        self._last_appended: int | None = None

    @property
    def last_appended(self) -> int | None:
        """The last known id of the stream; None before the first step."""
        return self._last_appended

    async def step(self) -> bool:
        """Assign a sequence to one batch and append it. Return True if there may be more rows."""
        return await self.append(await self.assign_sequence())

    async def assign_sequence(self) -> list[asyncpg.Record]:
        """Assign `pub_seq` to the oldest rows without one, commit, and return them in that order.

        The end of the stream is read first, so that no sequence is assigned while Redis is unavailable. The metrics of
        a new leader count rows with a sequence as appended.
        """
        if self._last_appended is None:
            await self._resynchronize(await self._append_entries_after(0, ()))
        rows = await self._connection.fetch(_ASSIGN_SEQUENCE, BATCH)
        return sorted(rows, key=lambda row: cast("int", row["pub_seq"]))

    async def append(self, sequenced: list[asyncpg.Record]) -> bool:
        """Append the next rows. `sequenced` is used if it begins with the next row; otherwise the rows are read."""
        last_appended = self._last_appended or 0
        rows = (
            sequenced
            if sequenced and sequenced[0]["pub_seq"] == last_appended + 1
            else await self._read_after(last_appended)
        )
        batch = [self._entry(row) for row in rows]
        last = await self._append_entries_after(last_appended, batch)
        crash_point("relay.after_append")
        for entry in batch:
            if entry.span and entry.seq <= last:
                entry.span.end()
        if last != (batch[-1].seq if batch else last_appended):
            await self._resynchronize(last)
            return True
        self._last_appended = last
        return len(batch) == BATCH

    async def _resynchronize(self, last: int) -> None:
        """Continue from the last id of the stream, and delete a stream that cannot be continued.

        A stream cannot be continued if it is ahead of the outbox, or if it ends below the low-water mark: the rows that
        it lacks were deleted, and the inbox rows of its entries may have been deleted too. Another relay cannot have
        put the stream ahead, because the outbox is read after the stream and rows are sequenced before they are
        appended.
        """
        if self._last_appended is not None and last < self._last_appended:
            log.warning("stream_rewound", stream=self._stream, known=self._last_appended, found=last)
        ends = await self._connection.fetchrow(_ENDS)
        low_water, head = (ends["low_water"], ends["head"]) if ends else (0, 0)
        if last > head or 0 < last < low_water:
            log.error("stream_rebuilt", stream=self._stream, outbox=[low_water, head], stream_last=last)
            await self._delete_script(keys=[self._stream], args=[last])
            last = 0
        self._last_appended = last

    async def _read_after(self, seq: int) -> list[asyncpg.Record]:
        return list(await self._connection.fetch(_READ, seq, BATCH))

    async def _append_entries_after(self, last: int, batch: Sequence[_NewEntry]) -> int:
        arguments: list[int | bytes] = [last]
        for entry in batch:
            arguments += (entry.seq, entry.body)
        return int(await self._append_script(keys=[self._stream], args=arguments))

    def _entry(self, row: asyncpg.Record) -> _NewEntry:
        attributes = dict(row)
        seq, data = attributes.pop("pub_seq"), attributes.pop("data")
        parent = TraceContext(row["traceparent"], row["tracestate"], row["baggage"])
        if parent.traceparent is None:
            return _NewEntry(seq, encode_stored(attributes, data=data), None)
        span = start_publish_span(self._stream, attributes, parent, server=self._server)
        context = parent.continued_by(span)
        attributes |= {"traceparent": context.traceparent, "tracestate": context.tracestate}
        return _NewEntry(seq, encode_stored(attributes, data=data), span)
