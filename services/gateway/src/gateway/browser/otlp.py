"""OTLP/HTTP JSON from pages (opentelemetry-proto 1.x), reduced to the members that pages send and limited in size.

A body is parsed into these models, so that nothing else is forwarded. Its resources are replaced by one resource, that
of the page, so that a page cannot pose as a service.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat
from pydantic.alias_generators import to_camel

from shared.config import Environment
from shared.errors.problems import PayloadTooLargeError

MAX_ITEMS = 200
"""Maximum number of spans, or of points of metrics, in one body. A body with more is rejected."""

MAX_ATTRIBUTES = 32
MAX_POINT_ATTRIBUTES = 8
MAX_EVENTS = 16
MAX_LINKS = 8
"""Of attributes, events and links, only the first ones are kept."""

MAX_BUCKETS = 64
MAX_NAME = 128
"""Characters. A body with a longer name is rejected."""

MAX_TEXT = 256
"""Characters. A longer text is truncated."""

_MAX_INT64 = 2**63 - 1


def _keep_first(count: int) -> BeforeValidator:
    """Return a validator that keeps the first `count` items of a list."""
    return BeforeValidator(lambda value: value[:count] if isinstance(value, list) else value)


def _truncate(text: str) -> str:
    return text[:MAX_TEXT]


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Text = Annotated[str, AfterValidator(_truncate)]
TraceId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")]
SpanId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{16}$")]
Nanoseconds = Annotated[int, Field(ge=0, le=_MAX_INT64)]
Integer = Annotated[int, Field(ge=-_MAX_INT64, le=_MAX_INT64)]
Count = Annotated[int, Field(ge=0, le=_MAX_INT64)]
MetricName = Annotated[str, Field(pattern=r"^hopline\.web_vital\.[a-z_]{1,40}$")]
"""Other names are rejected, because pages could fill the metrics backend with them."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel)


class AnyValue(_Message):
    """A value of an attribute. Arrays, maps and bytes are left out."""

    string_value: Text | None = None
    bool_value: bool | None = None
    int_value: Integer | None = None
    double_value: FiniteFloat | None = None


class KeyValue(_Message):
    """An attribute."""

    key: Name
    value: AnyValue = AnyValue()


Attributes = Annotated[list[KeyValue], _keep_first(MAX_ATTRIBUTES)]
PointAttributes = Annotated[list[KeyValue], _keep_first(MAX_POINT_ATTRIBUTES)]


class Scope(_Message):
    """An instrumentation scope."""

    name: Text = ""
    version: Text = ""


class Event(_Message):
    """An event of a span."""

    time_unix_nano: Nanoseconds = 0
    name: Name
    attributes: Attributes = []


class Link(_Message):
    """A link of a span to another one."""

    trace_id: TraceId
    span_id: SpanId
    attributes: Attributes = []


class Status(_Message):
    """The status of a span."""

    code: Annotated[int, Field(ge=0, le=2)] = 0
    message: Text = ""


class Span(_Message):
    """A span."""

    trace_id: TraceId
    span_id: SpanId
    parent_span_id: Annotated[SpanId | None, BeforeValidator(_none_if_empty)] = None
    name: Name
    kind: Annotated[int, Field(ge=0, le=5)] = 0
    start_time_unix_nano: Nanoseconds
    end_time_unix_nano: Nanoseconds
    attributes: Attributes = []
    events: Annotated[list[Event], _keep_first(MAX_EVENTS)] = []
    links: Annotated[list[Link], _keep_first(MAX_LINKS)] = []
    status: Status = Status()


class ScopeSpans(_Message):
    """The spans of one scope."""

    scope: Scope = Scope()
    spans: list[Span] = []


class ResourceSpans(_Message):
    """The spans of one resource, which is ignored."""

    scope_spans: list[ScopeSpans] = []


class TracesData(_Message):
    """The body of an export of traces."""

    resource_spans: list[ResourceSpans] = []

    def document(self, environment: Environment) -> dict[str, Any]:
        """Return the body to forward. Raises PayloadTooLargeError."""
        scopes = [scope for resource in self.resource_spans for scope in resource.scope_spans if scope.spans]
        _check_count("spans", sum(len(scope.spans) for scope in scopes))
        return {"resourceSpans": [{"resource": _resource(environment), "scopeSpans": _dump(scopes)}]}


class Point(_Message):
    """A value of a gauge or a sum."""

    attributes: PointAttributes = []
    start_time_unix_nano: Nanoseconds = 0
    time_unix_nano: Nanoseconds
    as_double: FiniteFloat | None = None
    as_int: Integer | None = None


class HistogramPoint(_Message):
    """A value of a histogram."""

    attributes: PointAttributes = []
    start_time_unix_nano: Nanoseconds = 0
    time_unix_nano: Nanoseconds
    count: Count
    sum: FiniteFloat | None = None
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    bucket_counts: Annotated[list[Count], Field(max_length=MAX_BUCKETS)] = []
    explicit_bounds: Annotated[list[FiniteFloat], Field(max_length=MAX_BUCKETS)] = []


class Gauge(_Message):
    """The points of a gauge."""

    data_points: list[Point] = []


class Sum(Gauge):
    """The points of a sum."""

    aggregation_temporality: Annotated[int, Field(ge=0, le=2)] = 0
    is_monotonic: bool = False


class Histogram(_Message):
    """The points of a histogram."""

    data_points: list[HistogramPoint] = []
    aggregation_temporality: Annotated[int, Field(ge=0, le=2)] = 0


class Metric(_Message):
    """A metric with one kind of data. Other kinds are left out."""

    name: MetricName
    description: Text = ""
    unit: Annotated[str, Field(max_length=32)] = ""
    gauge: Gauge | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None

    def count_points(self) -> int:
        """Return the number of points of all data."""
        return sum(len(data.data_points) for data in (self.gauge, self.sum, self.histogram) if data)


def _with_points(metrics: list[Metric]) -> list[Metric]:
    """Leave out metrics without points, because the limit on points would not count them."""
    return [metric for metric in metrics if metric.count_points()]


class ScopeMetrics(_Message):
    """The metrics of one scope."""

    scope: Scope = Scope()
    metrics: Annotated[list[Metric], AfterValidator(_with_points)] = []


class ResourceMetrics(_Message):
    """The metrics of one resource, which is ignored."""

    scope_metrics: list[ScopeMetrics] = []


class MetricsData(_Message):
    """The body of an export of metrics."""

    resource_metrics: list[ResourceMetrics] = []

    def document(self, environment: Environment) -> dict[str, Any]:
        """Return the body to forward. Raises PayloadTooLargeError."""
        scopes = [scope for resource in self.resource_metrics for scope in resource.scope_metrics if scope.metrics]
        _check_count("points", sum(metric.count_points() for scope in scopes for metric in scope.metrics))
        return {"resourceMetrics": [{"resource": _resource(environment), "scopeMetrics": _dump(scopes)}]}


_VERSION: Final = version("gateway")


def _resource(environment: Environment) -> dict[str, Any]:
    attributes = {
        "service.name": "browser",
        "service.namespace": "hopline",
        "service.version": _VERSION,  # the page is part of the gateway
        "deployment.environment.name": environment.value,
    }
    return {"attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]}


def _dump(messages: Sequence[BaseModel]) -> list[dict[str, Any]]:
    return [message.model_dump(by_alias=True, exclude_none=True) for message in messages]


def _check_count(what: str, count: int) -> None:
    if count > MAX_ITEMS:
        raise PayloadTooLargeError(f"Send at most {MAX_ITEMS} {what} in one body. This one has {count}")
