"""CLIENT spans of calls to other services: OpenTelemetry's httpx instrumentation and a hook.

The instrumentation sends the trace context and records `http.client.request.duration`. The hook names each span by
method and URL template, because paths contain ids.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport, HTTPXClientInstrumentor, RequestInfo
from opentelemetry.trace import Span
from opentelemetry.util.types import Attributes

from shared.telemetry.setup import set_defaults
from shared.telemetry.spans import get_tracer_provider, use_span

TEMPLATE = "url.template"
"""Request extension: the URL template, `extensions={TEMPLATE: "/users/{user_id}"}`."""

RESEND_COUNT = "http.request.resend_count"
"""Request extension: the number of attempts before this one."""


def instrument_client(client: httpx.AsyncClient, *, service: str) -> None:
    """Create a CLIENT span for each call of `client`; `service` is the name of the called service, or empty."""
    set_defaults()
    HTTPXClientInstrumentor.instrument_client(
        client, tracer_provider=_CallTracerProvider(), request_hook=_create_request_hook(service)
    )


def instrument_transport(transport: httpx.AsyncBaseTransport, *, service: str) -> httpx.AsyncBaseTransport:
    """Return `transport` with a CLIENT span for each call, for a caller that uses it without a client."""
    set_defaults()
    instrumented = AsyncOpenTelemetryTransport(
        transport, tracer_provider=_CallTracerProvider(), request_hook=_create_request_hook(service)
    )
    return cast("httpx.AsyncBaseTransport", instrumented)  # its base class is httpx or httpx2


def _create_request_hook(service: str) -> Callable[[Span, RequestInfo], Awaitable[None]]:
    """Return the hook that names a span and adds attributes."""

    async def describe(span: Span, request: RequestInfo) -> None:
        extensions = request.extensions or {}
        template = extensions.get(TEMPLATE) or httpx.URL(request.url).path  # type: ignore[arg-type]  # a URL since 0.20
        span.update_name(f"{request.method.decode()} {template}")
        attributes = {TEMPLATE: template}
        if service:
            attributes["service.peer.name"] = service
        if resends := extensions.get(RESEND_COUNT):
            attributes[RESEND_COUNT] = resends
        span.set_attributes(attributes)  # one call, because the SDK locks the span for each

    return describe


class _CallTracerProvider(trace.TracerProvider):
    """Wraps the global tracer provider: spans record cancellations, and exceptions only after redaction.

    The instrumentation lets exceptions leave `start_as_current_span`. OpenTelemetry's own tracer would record their
    messages without redaction, and add the deprecated attribute `exception.escaped`. It would not record a
    cancellation, which ends each call that exceeds its deadline.
    """

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return a tracer that uses the global provider, even if that is set later."""
        name, version = instrumenting_module_name, instrumenting_library_version
        return _CallTracer(get_tracer_provider().get_tracer(name, version, schema_url, attributes))


class _CallTracer(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> Span:
        return self._tracer.start_span(name, *args, **kwargs)

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:  # the API's return type is private
        return use_span(self._tracer.start_span(name, *args, **kwargs), record_cancellation=True)
