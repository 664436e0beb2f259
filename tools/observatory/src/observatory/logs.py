"""The log store: a limited number of records in the order of arrival; the oldest are evicted first."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from observatory.attributes import Resource, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One serialised log record, with the fields that most queries need.

    `time_ns` is its timestamp in nanoseconds since the epoch. If it is missing, the observed timestamp is used,
    and without both the time of arrival. `trace_id` and `span_id` are "" outside a trace.
    """

    time_ns: int
    trace_id: str
    span_id: str
    resource: Resource
    scope: Scope
    raw: bytes


class LogStore:
    """Keeps at most `max_records` records and `max_bytes` of their messages."""

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: deque[Record] = deque()
        self.byte_count = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def add(self, record: Record) -> None:
        """Add the record, and evict the oldest records above the limits."""
        self._records.append(record)
        self.byte_count += len(record.raw)
        while len(self._records) > self._max_records or self.byte_count > self._max_bytes:
            self.byte_count -= len(self._records.popleft().raw)
