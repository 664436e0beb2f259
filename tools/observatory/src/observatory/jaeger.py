"""Jaeger's query API, port 16686.

Reference: https://www.jaegertracing.io/docs/latest/architecture/apis/ and jaegertracing/jaeger
cmd/jaeger/internal/extension/jaegerquery/internal/http_handler.go.
"""

import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from observatory.jaeger_model import trace_json
from observatory.responses import JsonResponse
from observatory.trace_search import TraceQuery
from observatory.traces import TraceStore

_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}", re.ASCII)
_TRACE_ID_DIGITS = 32


class RequestError(Exception):
    """The request is invalid or finds nothing. `status` is the HTTP status; the message contains the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class JaegerApi:
    """Serves the trace store."""

    def __init__(self, *, traces: TraceStore) -> None:
        self._traces = traces

    def routes(self) -> list[Route]:
        """Return the endpoints below /api."""
        return [
            Route("/api/services", self.services),
            Route("/api/services/{service:path}/operations", self.operation_names),
            Route("/api/operations", self.operations),
            Route("/api/traces", self.search),
            Route("/api/traces/{trace_id}", self.trace),
        ]

    async def services(self, _request: Request) -> Response:
        """List the names of the services that sent spans."""
        return _listing(sorted({span.service for span in self._traces.spans()}))

    async def operation_names(self, request: Request) -> Response:
        """List the operation names of one service; empty for an unknown service."""
        service = request.path_params["service"]
        return _listing(sorted({span.operation for span in self._traces.spans() if span.service == service}))

    async def operations(self, request: Request) -> Response:
        """List `{name, spanKind}` of one service, optionally of one span kind."""
        service, kind = _required_service(request), request.query_params.get("spanKind", "")
        spans = (span for span in self._traces.spans() if span.service == service)
        found = sorted({(span.operation, span.role.kind) for span in spans})
        return _listing([{"name": name, "spanKind": span_kind} for name, span_kind in found if kind in ("", span_kind)])

    async def search(self, request: Request) -> Response:
        """Return complete traces: those with the given traceID parameters, or those that match the search."""
        if trace_ids := request.query_params.getlist("traceID"):
            return self._get_all([parse_trace_id(raw) for raw in trace_ids])
        _required_service(request)
        query = TraceQuery.parse(request.query_params)
        return _response([trace_json(spans) for spans in query.find(self._traces)])

    async def trace(self, request: Request) -> Response:
        """Return one trace, or 404 if it is not stored."""
        spans = self._traces.get(parse_trace_id(request.path_params["trace_id"]))
        if not spans:
            raise RequestError(404, "trace not found")
        return _response([trace_json(spans)])

    def _get_all(self, trace_ids: Sequence[str]) -> Response:
        found = [(trace_id, self._traces.get(trace_id)) for trace_id in trace_ids]
        missing = [{"msg": "trace not found", "traceID": trace_id} for trace_id, spans in found if not spans]
        return _response([trace_json(spans) for _, spans in found if spans], errors=missing or None)


async def reject(_request: Request, error: Exception) -> Response:
    """Respond to RequestError with its status and to InvalidQueryError with 400, in Jaeger's format."""
    status = error.status if isinstance(error, RequestError) else 400
    body = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": status, "msg": str(error)}]}
    return JsonResponse(body, status)


def _required_service(request: Request) -> str:
    if service := request.query_params.get("service"):
        return service
    raise RequestError(400, "parameter 'service' is required")


def parse_trace_id(raw: str) -> str:
    """Return a trace id with 32 lower-case digits. Raises RequestError."""
    if not _TRACE_ID.fullmatch(raw):
        raise RequestError(400, f"cannot parse trace id {raw!r}: expected up to 32 hexadecimal digits")
    return raw.lower().rjust(_TRACE_ID_DIGITS, "0")


def _listing(items: Sequence[Any]) -> Response:
    return _response(items, total=len(items))


def _response(data: Sequence[Any], *, total: int = 0, errors: Sequence[Any] | None = None) -> Response:
    return JsonResponse({"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors})
