"""The client span and the duration of one attempt at a service, after OpenTelemetry's semantic conventions for HTTP.

Our own, as the client is that makes the calls (ADR 5): no instrumentation knows it, or what a template is. The span
does not become the current one: who is to know of it is the service, and `carry` tells it.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace import SpanKind, StatusCode

from gateway.resilience import metrics
from shared.durations import Durations
from shared.errors import Problem
from shared.tracing import traceparent

_ERROR = 400

_tracer = trace.get_tracer(__name__)
_baggage = W3CBaggagePropagator()
_durations = Durations("http.client.request.duration", scope=__name__, description="Duration of HTTP client requests")


class ClientSpan:
    """A context around one attempt, which `resend_count` others came before.

    Whoever leaves it without `answered` or a problem cancelled. `attributes` have few values and are those of the
    metric as well; they name the span by method and template.
    """

    def __init__(self, attributes: Mapping[str, str | int], *, url: str, resend_count: int) -> None:
        self._attributes = attributes
        self._resend_count = resend_count
        self._outcome: dict[str, str | int] = {"error.type": "cancelled"}
        self.span = _tracer.start_span(
            f"{attributes['http.request.method']} {attributes['url.template']}",
            kind=SpanKind.CLIENT,
            attributes={
                **attributes,
                "url.full": url,
                **({"http.request.resend_count": resend_count} if resend_count else {}),
            },
            record_exception=False,
            set_status_on_exception=False,
        )
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def carry(self, headers: dict[str, str]) -> None:
        """Add what makes the service's span a child of this one, and the baggage: W3C's Trace Context and Baggage."""
        context = self.span.get_span_context()
        if context.is_valid:
            headers["traceparent"] = traceparent(context)
            if context.trace_state:
                headers["tracestate"] = context.trace_state.to_header()
        if baggage.get_all():
            _baggage.inject(headers)

    def repeated(self) -> None:
        """Note that a kept connection ended with the request unheard, and that it was written again on a fresh one."""
        self._resend_count += 1
        self.span.set_attribute("http.request.resend_count", self._resend_count)
        metrics.repeated(str(self._attributes["peer.service"]))

    def answered(self, status: int) -> None:
        """Note what the service answered."""
        self._outcome = {"http.response.status_code": status}
        if status >= _ERROR:
            self._outcome["error.type"] = str(status)
            self.span.set_status(StatusCode.ERROR)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Problem):
            self._outcome["error.type"] = error.slug
            self.span.set_status(StatusCode.ERROR, error.detail)
        self.span.set_attributes(self._outcome)
        took_s = time.perf_counter() - self._started
        _durations.record(took_s, {**self._attributes, **self._outcome}, span=self.span.get_span_context())
        self.span.end()
