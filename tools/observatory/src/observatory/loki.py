"""Loki's query API, port 3100, for log queries of one selector and its filters (see logql.py).

Reference: https://grafana.com/docs/loki/latest/reference/loki-http-api/. Loki rejects log queries at
/loki/api/v1/query; here such a query is a range query over the hour before `time`.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from observatory import logql, loki_labels
from observatory.logs import LogStore, Record
from observatory.responses import JsonResponse
from observatory.times import rfc3339_s
from shared.validation.text import terminal_text

_SECOND_NS = 1_000_000_000
_HOUR_NS = 3_600 * _SECOND_NS
QUERY_TIMEOUT_S = 10.0
_DEFAULT_LIMIT = 100
_MAX_LIMIT = 5_000  # Loki's default of max_entries_limit_per_query
_SECONDS_DIGITS = 10  # integers of up to ten digits are seconds, longer ones nanoseconds
_SINCE = re.compile(r"(\d{1,9})(s|m|h|d|w)", re.ASCII)
_SINCE_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class InvalidParameterError(ValueError):
    """A parameter is invalid. The message names it."""


class QueryTimeoutError(TimeoutError):
    """The query took too long."""


class LokiApi:
    """Serves the log store.

    Queries run one at a time in a thread. re2 releases the GIL while it matches, so the event loop continues. A query
    that takes longer than `timeout_s` is aborted.
    """

    def __init__(self, *, logs: LogStore, timeout_s: float = QUERY_TIMEOUT_S) -> None:
        self._logs = logs
        self._timeout_s = timeout_s
        self._query_slot = asyncio.Semaphore(1)

    def routes(self) -> list[Route]:
        """Return /ready and the endpoints below /loki/api/v1."""
        return [
            Route("/ready", self.ready),
            Route("/loki/api/v1/labels", self.labels),
            Route("/loki/api/v1/label/{name}/values", self.label_values),
            Route("/loki/api/v1/query_range", self.query_range),
            Route("/loki/api/v1/query", self.query),
        ]

    async def ready(self, _request: Request) -> Response:
        """Return 200, because queries are possible from the start."""
        return PlainTextResponse("ready\n")

    async def labels(self, _request: Request) -> Response:
        """List the names of the index labels in use."""
        return _success(sorted({name for labels in self._index_labels() for name in labels}))

    async def label_values(self, request: Request) -> Response:
        """List the values of one index label; empty for an unknown label."""
        name = request.path_params["name"]
        return _success(sorted({labels[name] for labels in self._index_labels() if name in labels}))

    async def query_range(self, request: Request) -> Response:
        """Return the records between start (default: an hour before end) and end (default: now)."""
        end_ns = _time_ns(request.query_params, "end", time.time_ns())
        start_ns = _time_ns(request.query_params, "start", end_ns - _since_ns(request.query_params))
        return await self._streams(request.query_params, start_ns, end_ns)

    async def query(self, request: Request) -> Response:
        """Return the records of the hour before `time` (default: now)."""
        end_ns = _time_ns(request.query_params, "time", time.time_ns())
        return await self._streams(request.query_params, end_ns - _HOUR_NS, end_ns)

    def _index_labels(self) -> list[dict[str, str]]:
        resources = {id(record.resource): record.resource for record in self._logs}
        return [loki_labels.index_labels(resource) for resource in resources.values()]

    async def _streams(self, params: QueryParams, start_ns: int, end_ns: int) -> Response:
        if end_ns <= start_ns:
            raise InvalidParameterError("end timestamp must not be before or equal to start time")
        limit, newest_first = _limit(params), _newest_first(params)
        query = logql.parse(params.get("query", ""))
        async with self._query_slot:
            candidates = [record for record in self._logs if start_ns <= record.time_ns < end_ns]
            candidates.sort(key=lambda record: record.time_ns, reverse=newest_first)
            deadline_s = time.monotonic() + self._timeout_s
            entries = await asyncio.to_thread(lambda: list(islice(_entries(query, candidates, deadline_s), limit)))
        streams: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = defaultdict(list)
        for time_ns, labels, line in entries:
            streams[tuple(sorted(labels.items()))].append((str(time_ns), line))
        result = [{"stream": dict(labels), "values": values} for labels, values in streams.items()]
        returned = sum(len(values) for values in streams.values())
        summary = {"totalLinesProcessed": len(candidates), "totalEntriesReturned": returned}
        return _success({"resultType": "streams", "result": result, "stats": {"summary": summary}})


async def reject(_request: Request, error: Exception) -> Response:
    """Respond to InvalidParameterError and logql.UnsupportedError as Loki does: 400 and plain text."""
    return PlainTextResponse(terminal_text(str(error)), 400)


async def reject_timeout(_request: Request, error: Exception) -> Response:
    """Respond to QueryTimeoutError as Loki does: 504 and plain text."""
    return PlainTextResponse(str(error), 504)


def _entries(
    query: logql.LogQuery, records: Iterable[Record], deadline_s: float
) -> Iterator[tuple[int, dict[str, str], str]]:
    """Yield time, labels and line of the matching records. Fields that need no decoding are compared first.

    Raises QueryTimeoutError when the monotonic clock reaches `deadline_s`.
    """
    selected: dict[int, bool] = {}  # by resource, because many records share one
    for record in records:
        if time.monotonic() >= deadline_s:
            raise QueryTimeoutError("the query takes too long: narrow its time range or its selector")
        ids = {"trace_id": record.trace_id, "span_id": record.span_id}
        if not all(matcher.accepts(ids[name]) for name, matcher in query.labels if ids.get(name)):
            continue
        if (key := id(record.resource)) not in selected:
            selected[key] = query.accepts_stream(loki_labels.index_labels(record.resource))
        if not selected[key]:
            continue
        message = LogRecord.FromString(record.raw)
        line, labels = loki_labels.line(message), loki_labels.all_labels(record, message)
        if query.accepts_line(line) and query.accepts_labels(labels):
            yield record.time_ns, labels, line


def _success(data: Any) -> Response:
    return JsonResponse({"status": "success", "data": data})


def _limit(params: QueryParams) -> int:
    raw = params.get("limit", "") or str(_DEFAULT_LIMIT)
    if not re.fullmatch(r"[0-9]{1,9}", raw) or not 0 < int(raw) <= _MAX_LIMIT:
        raise InvalidParameterError(f"limit must be a whole number from 1 to {_MAX_LIMIT}, not {raw!r}")
    return int(raw)


def _newest_first(params: QueryParams) -> bool:
    direction = params.get("direction", "") or "backward"
    if direction.lower() not in ("forward", "backward"):
        raise InvalidParameterError(f"invalid direction {direction!r}: expected forward or backward")
    return direction.lower() == "backward"


def _time_ns(params: QueryParams, name: str, default: int) -> int:
    """Parse nanoseconds, seconds (up to ten digits, or with a decimal point) or RFC 3339."""
    raw = params.get(name, "")
    if raw == "":
        return default
    try:
        if raw.isascii() and raw.isdecimal():
            return int(raw) * (_SECOND_NS if len(raw) <= _SECONDS_DIGITS else 1)
        if re.fullmatch(r"\d{1,10}\.\d+", raw, re.ASCII):
            return int(float(raw) * _SECOND_NS)
        return int(rfc3339_s(raw) * _SECOND_NS)
    except (ValueError, OverflowError):
        raise InvalidParameterError(f"could not parse {name!r} parameter: {raw!r}") from None


def _since_ns(params: QueryParams) -> int:
    raw = params.get("since", "") or "1h"
    if found := _SINCE.fullmatch(raw):
        return int(found[1]) * _SINCE_SECONDS[found[2]] * _SECOND_NS
    raise InvalidParameterError(f"could not parse 'since' parameter: {raw!r}; expected for example 15m")
