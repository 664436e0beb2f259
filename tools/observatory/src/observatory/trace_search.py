"""The search parameters of Jaeger's query API.

A trace matches if one of its spans meets all conditions, as in Jaeger's memory storage.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import orjson
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from starlette.datastructures import QueryParams

from observatory.attributes import as_text, plain_attributes
from observatory.jaeger_model import span_tags
from observatory.traces import Span, TraceStore

_DEFAULT_LIMIT = 100
_DEFAULT_LOOKBACK_NS = 48 * 3_600 * 1_000_000_000
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3_600 * 1_000_000_000,
    "d": 24 * 3_600 * 1_000_000_000,
}
_DURATION_PART = re.compile(r"(\d{1,12}(?:\.\d{0,9})?)(ns|us|µs|ms|s|m|h|d)", re.ASCII)


class InvalidQueryError(ValueError):
    """A parameter is invalid. The message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Search conditions; "" and 0 match everything. Times and durations are nanoseconds."""

    service: str
    operation: str
    tags: dict[str, str]
    start_ns: int
    end_ns: int
    min_ns: int
    max_ns: int
    limit: int

    @classmethod
    def parse(cls, params: QueryParams) -> Self:
        """Parse service, operation, start and end (µs), lookback, minDuration, maxDuration, tag, tags and limit.

        Raises InvalidQueryError.
        """
        now_ns = time.time_ns()
        end_ns = _integer(params, "end", now_ns // 1_000) * 1_000
        lookback_ns = duration_ns(params, "lookback") or _DEFAULT_LOOKBACK_NS
        query = cls(
            service=params.get("service", ""),
            operation=params.get("operation", ""),
            tags=_tags(params),
            start_ns=_integer(params, "start", (end_ns - lookback_ns) // 1_000) * 1_000,
            end_ns=end_ns,
            min_ns=duration_ns(params, "minDuration"),
            max_ns=duration_ns(params, "maxDuration"),
            limit=_integer(params, "limit", _DEFAULT_LIMIT),
        )
        if query.limit <= 0:
            raise InvalidQueryError("invalid parameter: limit must be greater than 0")
        if query.start_ns > query.end_ns:
            raise InvalidQueryError("invalid parameter: start time must be before end time")
        if query.max_ns and query.max_ns < query.min_ns:
            raise InvalidQueryError("'maxDuration' should be greater than 'minDuration'")
        return query

    def find(self, traces: TraceStore) -> Iterator[list[Span]]:
        """Yield at most `limit` traces, the one with the latest span first."""
        found = 0
        for spans in traces.newest_first():
            if any(self._matches(span) for span in spans):
                yield spans
                found += 1
                if found == self.limit:
                    return

    def _matches(self, span: Span) -> bool:
        return (
            self.service in ("", span.service)
            and self.operation in ("", span.operation)
            and self.start_ns <= span.start_ns <= self.end_ns
            and span.duration_ns >= self.min_ns
            and (not self.max_ns or span.duration_ns <= self.max_ns)
            and (not self.tags or self._has_tags(span))
        )

    def _has_tags(self, span: Span) -> bool:
        message = SpanMessage.FromString(span.raw)
        tags = {(key, as_text(value)) for key, value in span.resource.attributes.items()}
        tags |= {(key, as_text(value)) for key, value in span_tags(span, message)}
        for event in message.events:
            tags.add(("event", event.name))
            tags |= {(key, as_text(value)) for key, value in plain_attributes(event.attributes).items()}
        return tags.issuperset(self.tags.items())


def _integer(params: QueryParams, name: str, default: int) -> int:
    raw = params.get(name, "")
    if raw == "":
        return default
    if not re.fullmatch(r"-?[0-9]{1,19}", raw):
        raise InvalidQueryError(f"unable to parse param '{name}': {raw!r} is not an integer")
    return int(raw)


def duration_ns(params: QueryParams, name: str) -> int:
    """Parse a duration such as `1m30s` into nanoseconds; 0 if it is missing. Raises InvalidQueryError."""
    raw = params.get(name, "")
    if raw in ("", "custom"):  # Jaeger's page sends the lookback "custom" with start and end
        return 0
    parts = _DURATION_PART.findall(raw)
    if "".join(number + unit for number, unit in parts) != raw:
        raise InvalidQueryError(f"unable to parse param '{name}': {raw!r} is not a duration such as 1.5s or 20ms")
    return int(sum(float(number) * _UNIT_NS[unit] for number, unit in parts))


def _tags(params: QueryParams) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in params.getlist("tag"):
        key, colon, value = pair.partition(":")
        if not colon:
            raise InvalidQueryError(f"malformed 'tag' parameter, expecting key:value, received: {pair}")
        tags[key] = value
    for raw in params.getlist("tags"):
        try:
            wanted = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise InvalidQueryError(f"malformed 'tags' parameter, cannot unmarshal JSON: {error}") from None
        if not isinstance(wanted, dict) or not all(isinstance(value, str) for value in wanted.values()):
            raise InvalidQueryError("malformed 'tags' parameter: expected an object of strings")
        tags |= wanted
    return tags
