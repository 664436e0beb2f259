"""The traces of a user's own requests, read from the query API of the trace backend (Jaeger's JSON)."""

import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from gateway.browser.schemas import Trace, TraceSpan
from gateway.errors import TraceNotFoundError, UpstreamBrokenError, UpstreamTimeoutError, UpstreamUnreachableError
from gateway.settings import Settings
from shared.context import enforce_deadline
from shared.http.client import open_http_client

TIMEOUT_S = 2.0
MAX_BYTES = 1024 * 1024
MAX_SPANS = 500
MAX_TEXT = 256

COMPLETE_AFTER_S = 5.0
"""A trace is complete if nothing has happened in it for this time: an order waits two seconds for each of its steps."""

ATTRIBUTES: Final = frozenset(
    {
        *("http.request.method", "http.route", "http.response.status_code", "url.template", "service.peer.name"),
        *("error.type", "hopline.problem", "hopline.fault", "hopline.order.replayed"),
        *("db.query.summary", "messaging.destination.name", "messaging.operation.name", "hopline.applied_before"),
        *("hopline.job.kind", "hopline.job.attempt", "hopline.job.outcome", "hopline.job.wait_s"),
        *("hopline.notification.kind", "hopline.notification.seq", "http.request.resend_count"),
        *("cloudevents.event_type", "hopline.db.queries", "hopline.email.message_id"),
    }
)
"""Attributes of spans that the page receives. Others are left out."""

TRACE_ID = re.compile(r"[0-9a-f]{32}")
_MICROSECONDS = 1_000_000

_Tags = Mapping[str, Any]


class TraceReader:
    """Reads traces for their users."""

    def __init__(self, *, http: httpx.AsyncClient) -> None:
        self._http = http

    async def read(self, trace_id: str, *, user_id: UUID) -> Trace:
        """Return a trace if this user, and no other user, has requests in it.

        Requests are those to the gateway and the registration in the users service. A client that has a trace id can
        add a request to the trace, so one request of the user is not enough.

        Raises:
            TraceNotFoundError: There is no such trace, or another user has requests in it.
            UpstreamUnreachableError, UpstreamTimeoutError, UpstreamBrokenError: The trace backend failed.
        """
        if not TRACE_ID.fullmatch(trace_id):
            raise TraceNotFoundError("A trace id has 32 hexadecimal digits in lower case")
        spans = list(_spans(await self._request(trace_id)))
        if _users(spans) != {str(user_id)}:
            raise TraceNotFoundError("The trace backend has no trace of your requests with this id, or not yet")
        spans.sort(key=lambda span: span[0].start_us)
        kept = [span for span, _ in spans[:MAX_SPANS]]
        return Trace(trace_id=trace_id, spans=kept, complete=_is_complete(kept) and len(kept) == len(spans))

    async def _request(self, trace_id: str) -> object:
        """Return the trace in Jaeger's JSON, None if the backend does not have it."""
        try:
            with suppress_http_instrumentation():  # otherwise the polling of pages would fill the trace backend
                async with (
                    enforce_deadline(TIMEOUT_S),
                    self._http.stream("GET", f"/api/traces/{trace_id}") as found,
                ):
                    if found.status_code == HTTPStatus.NOT_FOUND:
                        return None
                    if found.status_code != HTTPStatus.OK:
                        raise UpstreamBrokenError(f"The trace backend responded {found.status_code}")
                    body = await _read(found)
        except httpx.ConnectError as error:
            raise UpstreamUnreachableError("The trace backend cannot be reached") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise UpstreamTimeoutError("The trace backend did not respond in time") from error
        except httpx.TransportError as error:
            raise UpstreamBrokenError("The trace backend closed the connection") from error
        except httpx.DecodingError as error:
            raise UpstreamBrokenError("The trace backend sent a body that cannot be decoded") from error
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise UpstreamBrokenError("The trace backend did not respond with JSON") from error


@asynccontextmanager
async def open_trace_reader(settings: Settings) -> AsyncIterator[TraceReader]:
    """Open the reader of the trace backend of `settings`."""
    url = settings.traces_query_url or settings.traces_url
    async with open_http_client(
        url, to="traces", timeout_s=TIMEOUT_S, max_connections=10, transport=settings.http_transport
    ) as http:
        yield TraceReader(http=http)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise UpstreamBrokenError(f"The trace is larger than {MAX_BYTES} bytes")
    return bytes(body)


def _spans(document: object) -> Iterable[tuple[TraceSpan, _Tags]]:
    """Yield the spans of a document in Jaeger's JSON, each with all its tags. Raises UpstreamBrokenError."""
    if document is None:
        return
    try:
        for trace in document["data"] or ():  # type: ignore[index]  # a KeyError or TypeError is handled below
            services = {key: process["serviceName"] for key, process in trace["processes"].items()}
            for span in trace["spans"]:
                tags = {tag["key"]: tag["value"] for tag in span["tags"]}
                yield _span(span, tags, services[span["processID"]]), tags
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamBrokenError("The trace backend did not respond with a trace") from error


def _span(span: Mapping[str, Any], tags: _Tags, service: str) -> TraceSpan:
    return TraceSpan(
        span_id=span["spanID"],
        parent_span_id=_parent(span),
        name=span["operationName"][:MAX_TEXT],
        service=service,
        kind=tags.get("span.kind", "internal"),
        scope=tags.get("otel.scope.name", "")[:MAX_TEXT],
        start_us=span["startTime"],
        duration_us=span["duration"],
        status=tags.get("otel.status_code", "UNSET"),
        error=str(tags["otel.status_description"])[:MAX_TEXT] if "otel.status_description" in tags else None,
        attributes={name: _shorten(tags[name]) for name in sorted(ATTRIBUTES & tags.keys())},
    )


def _parent(span: Mapping[str, Any]) -> str | None:
    """Return the id of the parent span: the first reference of type CHILD_OF, else the first reference.

    If a span also has a link to its parent, the reference to the parent is FOLLOWS_FROM and precedes the links.
    """
    references = [reference for reference in span["references"] or () if reference["traceID"] == span["traceID"]]
    references.sort(key=lambda reference: reference["refType"] != "CHILD_OF")  # stable
    return str(references[0]["spanID"]) if references else None


def _shorten(value: object) -> str | int | float | bool:
    return value if isinstance(value, int | float) else str(value)[:MAX_TEXT]


def _users(spans: Iterable[tuple[TraceSpan, _Tags]]) -> set[str]:
    """Return the users of the requests to the gateway and to the users service.

    Only the span of the users service has the user of a registration. Pages cannot send these spans, because the
    service of their spans is `browser`.
    """
    return {
        str(tags["user.id"])
        for span, tags in spans
        if span.service in {"gateway", "users"} and span.kind == "server" and "user.id" in tags
    }


def _is_complete(spans: Iterable[TraceSpan]) -> bool:
    """Return whether no parent span of a service is missing, and the last span ended COMPLETE_AFTER_S seconds ago."""
    known = {span.span_id for span in spans}
    orphans = [span for span in spans if span.parent_span_id and span.parent_span_id not in known]
    last_us = max((span.start_us + span.duration_us for span in spans), default=0)
    is_quiet = last_us + COMPLETE_AFTER_S * _MICROSECONDS < time.time() * _MICROSECONDS
    return is_quiet and all(_may_lack_parent(span) for span in orphans)


def _may_lack_parent(span: TraceSpan) -> bool:
    """Return whether the parent of a span may be missing. Clients may record no spans, and pages may lose spans."""
    return span.service == "browser" or (span.service == "gateway" and span.kind == "server")
