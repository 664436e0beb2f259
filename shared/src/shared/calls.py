"""CLIENT spans of calls to other services: the httpx instrumentation, with what it lacks set by a hook.

The instrumentation sends the trace context along and measures `http.client.request.duration`. The hook names each span
by method and template, since a path with ids in it would give each call a separate name.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport, HTTPXClientInstrumentor, RequestInfo
from opentelemetry.trace import Span, StatusCode

from shared.telemetry import set_defaults

TEMPLATE = "url.template"
"""Request extension: the path with its parameters' names, `extensions={TEMPLATE: "/users/{user_id}"}`."""

RESEND_COUNT = "http.request.resend_count"
"""Request extension: the number of attempts before this one."""


def instrument_client(client: httpx.AsyncClient, *, service: str) -> None:
    """Give each call of `client` a CLIENT span; `service` is the name of the called service, if it is one."""
    set_defaults()
    HTTPXClientInstrumentor.instrument_client(client, request_hook=_description_of(service))


def instrument_transport(transport: httpx.AsyncBaseTransport, *, service: str) -> httpx.AsyncBaseTransport:
    """Return `transport` with a CLIENT span for each call, for a caller that uses it without a client."""
    set_defaults()
    instrumented = AsyncOpenTelemetryTransport(transport, request_hook=_description_of(service))
    return cast("httpx.AsyncBaseTransport", instrumented)  # the package supports httpx2 too, and says neither


def _description_of(service: str) -> Callable[[Span, RequestInfo], Awaitable[None]]:
    """Return the hook that names a span and adds the attributes which the instrumentation lacks."""

    async def describe(span: Span, request: RequestInfo) -> None:
        extensions = request.extensions or {}
        template = extensions.get(TEMPLATE) or httpx.URL(request.url).path  # type: ignore[arg-type]  # a URL since 0.20
        span.update_name(f"{request.method.decode()} {template}")
        attributes = {TEMPLATE: template}
        if service:
            attributes["service.peer.name"] = service
        if resends := extensions.get(RESEND_COUNT):
            attributes[RESEND_COUNT] = resends
        span.set_attributes(attributes)  # the SDK locks a span once for all of them

    return describe


class RecordCancellation(httpx.AsyncBaseTransport):
    """A transport around another that marks the CLIENT span of a cancelled call as failed.

    The instrumentation records exceptions but not cancellation, which ends each call that exceeds its deadline.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request. Raises what the inner transport raises."""
        try:
            return await self._transport.handle_async_request(request)
        except asyncio.CancelledError:
            span = trace.get_current_span()
            span.set_attribute("error.type", "CancelledError")
            span.set_status(StatusCode.ERROR)
            raise

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._transport.aclose()
