"""Calls to other services: the trace goes along, and how each call went is told (ADR 11).

A call that went well is an event of the span it was made in: the server's span says the rest. One that failed has a
CLIENT span.
"""

import asyncio
from time import perf_counter

import httpx
from opentelemetry import propagate, trace
from opentelemetry.util.types import AttributeValue

from shared.durations import Durations
from shared.tracing import show, tell

TEMPLATE = "url.template"
"""The request extension that names the path with its parameters' names: `extensions={TEMPLATE: "/users/{user_id}"}`."""

_ERROR = 400

_durations = Durations("http.client.request.duration", scope=__name__, description="Duration of HTTP client requests")


class ToldCalls(httpx.AsyncBaseTransport):
    """A transport around another: sends the trace context along, and tells how each call went."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one call; raises what httpx's transports raise."""
        propagate.inject(request.headers)
        started = perf_counter()
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.HTTPError, asyncio.CancelledError) as error:
            why = f"{type(error).__name__}: {error}"
            _settle(request, perf_counter() - started, {}, error_type=type(error).__name__, why=why)
            raise
        status = response.status_code
        answered: dict[str, AttributeValue] = {"http.response.status_code": status}
        _settle(request, perf_counter() - started, answered, error_type=str(status) if status >= _ERROR else "")
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _settle(
    request: httpx.Request,
    took_s: float,
    answered: dict[str, AttributeValue],
    *,
    error_type: str,
    why: str | None = None,
) -> None:
    template: str = request.extensions.get(TEMPLATE, request.url.path)
    attributes: dict[str, AttributeValue] = {
        "http.request.method": request.method,
        "url.template": template,
        "server.address": request.url.host,
        "server.port": request.url.port or 80,
        **answered,
    }
    outcome = {**attributes, "error.type": error_type} if error_type else attributes
    _durations.record(took_s, outcome, span=trace.get_current_span().get_span_context())
    name = f"{request.method} {template}"
    if error_type:
        attributes["url.full"] = str(request.url)
        show(name, took_s=took_s, attributes=attributes, error_type=error_type, why=why)
    else:
        tell(name, took_s=took_s)
