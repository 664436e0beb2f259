"""The client span and the duration of one attempt at a service, after OpenTelemetry's semantic conventions for HTTP.

A few lines of the API cost half of what the contrib instrumentation does (ADR 5); attached by hand, because the API's
own context manager is three generators, one in another.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from shared.durations import Durations
from shared.errors import Problem

_ERROR = 400

_tracer = trace.get_tracer(__name__)
_durations = Durations("http.client.request.duration", scope=__name__, description="Duration of HTTP client requests")


class ClientSpan:
    """A context around one attempt, number `resend_count`; whoever leaves it without `answered` or a problem cancelled.

    `attributes` have few values and are those of the metric as well; they name the span by method and template.
    """

    def __init__(self, attributes: Mapping[str, str | int], *, url: str, resend_count: int) -> None:
        self._attributes = attributes
        self._outcome: dict[str, str | int] = {"error.type": "cancelled"}
        self._span = _tracer.start_span(
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
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def answered(self, status: int) -> None:
        """Note what the service answered."""
        self._outcome = {"http.response.status_code": status}
        if status >= _ERROR:
            self._outcome["error.type"] = str(status)
            self._span.set_status(StatusCode.ERROR)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Problem):
            self._outcome["error.type"] = error.slug
            self._span.set_status(StatusCode.ERROR, error.detail)
        self._span.set_attributes(self._outcome)
        took_s = time.perf_counter() - self._started
        _durations.record(took_s, {**self._attributes, **self._outcome}, span=self._span.get_span_context())
        otel_context.detach(self._token)
        self._span.end()
