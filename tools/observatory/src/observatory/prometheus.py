"""Prometheus's query API, port 9090, over the metric store.

Reference: https://prometheus.io/docs/prometheus/latest/querying/api/. `promql` lists the supported
expressions. Any other expression gets 400 with this list, in Prometheus's error format.
"""

import math
import re
import time
from collections.abc import Iterator
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from observatory import promql
from observatory.metric_names import Labels
from observatory.metric_query import Buckets, Evaluation, Value, Vector, select
from observatory.metrics import MetricStore
from observatory.responses import JsonResponse
from observatory.series import Kind, Series
from observatory.times import rfc3339_s

MAX_MOMENTS: Final = 1_000

_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|m|h|d)?", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LATEST: Final = 1e11  # seconds since the epoch: the year 5138
_SUFFIXES: Final = {Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}


class InvalidParameterError(ValueError):
    """A parameter is missing or malformed; the message names it."""


class PrometheusApi:
    """Prometheus's endpoints over the metric store."""

    def __init__(self, *, metrics: MetricStore) -> None:
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("/-/ready", self.ready),
            Route("/-/healthy", self.ready),
            Route("/api/v1/query", self.query),
            Route("/api/v1/query_range", self.query_range),
            Route("/api/v1/query_exemplars", self.query_exemplars),
            Route("/api/v1/labels", self.labels),
            Route("/api/v1/label/{name}/values", self.label_values),
        ]

    async def ready(self, _request: Request) -> Response:
        """Return the response of a ready Prometheus."""
        return PlainTextResponse("Prometheus Server is Ready.\n")

    async def query(self, request: Request) -> Response:
        """Evaluate `query` at `time` (default: now)."""
        expression = promql.parse(_required(request.query_params, "query"))
        moment = _moment(request.query_params, "time", time.time())
        found = Evaluation(self._metrics, [moment]).evaluate(expression)
        if isinstance(found, float):
            return _success({"resultType": "scalar", "result": [moment, _text(found)]})
        result = [{"metric": labels, "value": values[0]} for labels, values in _expanded(found, [moment])]
        return _success({"resultType": "vector", "result": result})

    async def query_range(self, request: Request) -> Response:
        """Evaluate `query` at each `step` from `start` to `end`."""
        expression = promql.parse(_required(request.query_params, "query"))
        moments = _moments(request.query_params)
        found = Evaluation(self._metrics, moments).evaluate(expression)
        if isinstance(found, float):
            result: list[Any] = [{"metric": {}, "values": [[moment, _text(found)] for moment in moments]}]
        else:
            result = [{"metric": labels, "values": values} for labels, values in _expanded(found, moments)]
        return _success({"resultType": "matrix", "result": result})

    async def query_exemplars(self, request: Request) -> Response:
        """List the exemplars of the metrics in `query` from `start` (default: the oldest) to `end` (default: now)."""
        expression = promql.parse(_required(request.query_params, "query"))
        start_s = _moment(request.query_params, "start", 0.0)
        end_s = _moment(request.query_params, "end", time.time())
        result = []
        for selector in promql.selectors(expression):
            for series, _ in select(self._metrics, selector):
                exemplars = [
                    {
                        "labels": {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id},
                        "value": _text(exemplar.value),
                        "timestamp": exemplar.time_s,
                    }
                    for exemplar in series.exemplars
                    if start_s <= exemplar.time_s <= end_s
                ]
                if exemplars:
                    named = {"__name__": selector.name} | dict(series.labels)
                    result.append({"seriesLabels": named, "exemplars": exemplars})
        return _success(result)

    async def labels(self, _request: Request) -> Response:
        """List the names of all labels."""
        return _success(sorted({"__name__", *(name for series in self._metrics for name, _ in series.labels)}))

    async def label_values(self, request: Request) -> Response:
        """List the values of one label; empty for an unknown label. The values of `__name__` are the metrics."""
        name = request.path_params["name"]
        if name == "__name__":
            return _success(sorted({text for series in self._metrics for text in _names(series)}))
        pairs = (pair for series in self._metrics for pair in series.labels)
        return _success(sorted({value for label, value in pairs if label == name}))


async def reject(_request: Request, error: Exception) -> Response:
    """Return InvalidParameterError and promql.UnsupportedError as Prometheus does."""
    return JsonResponse({"status": "error", "errorType": "bad_data", "error": str(error)}, 400)


def _expanded(vector: Vector, moments: list[float]) -> Iterator[tuple[dict[str, str], list[list[Any]]]]:
    """Yield labels and pairs of time and text; the buckets of a histogram become series with a label `le`."""
    for labels, row in vector.items():
        by_bound: dict[str, list[list[Any]]] = {}
        for moment, value in zip(moments, row, strict=True):
            for bound, number in _numbers(value):
                by_bound.setdefault(bound, []).append([moment, _text(number)])
        for bound, values in by_bound.items():
            yield _named(labels, bound), values


def _numbers(value: Value | None) -> list[tuple[str, float]]:
    if value is None:
        return []
    if isinstance(value, Buckets):
        return list(zip([*map(_text, value.bounds), "+Inf"], value.counts, strict=True))
    return [("", value)]


def _named(labels: Labels, bound: str) -> dict[str, str]:
    return {**dict(labels), "le": bound} if bound else dict(labels)


def _names(series: Series) -> list[str]:
    return [series.name + suffix for suffix in _SUFFIXES.get(series.kind, ("",))]


def _text(number: float) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else f"{'-' if number < 0 else '+'}Inf"
    return repr(number).removesuffix(".0")


def _success(data: Any) -> Response:
    return JsonResponse({"status": "success", "data": data})


def _required(params: QueryParams, name: str) -> str:
    if value := params.get(name):
        return value
    raise InvalidParameterError(f"parameter {name!r} is required")


def _moments(params: QueryParams) -> list[float]:
    start_s, end_s = (_moment(params, name, None) for name in ("start", "end"))
    step_s = duration_s(_required(params, "step"), "step")
    if end_s < start_s:
        raise InvalidParameterError("end timestamp must not be before start time")
    count = int((end_s - start_s) / step_s) + 1
    if count > MAX_MOMENTS:
        raise InvalidParameterError(f"step: {count} points per series, at most {MAX_MOMENTS} are evaluated")
    return [start_s + number * step_s for number in range(count)]


def duration_s(raw: str, name: str) -> float:
    """Read `15s`, `5m` or seconds.

    Raises:
        InvalidParameterError: It is malformed or zero.
    """
    found = _DURATION.fullmatch(raw)
    seconds = float(found[1]) * _SECONDS[found[2] or "s"] if found else 0.0
    if not seconds:
        raise InvalidParameterError(f"{name}: expected a duration such as 15s, not {raw[:40]!r}")
    return seconds


def _moment(params: QueryParams, name: str, default: float | None) -> float:
    """Read seconds since the epoch, or RFC 3339."""
    raw = params.get(name, "")
    if not raw:
        if default is None:
            raise InvalidParameterError(f"parameter {name!r} is required")
        return default
    try:
        seconds = float(raw) if re.fullmatch(r"\d{1,12}(\.\d*)?", raw, re.ASCII) else rfc3339_s(raw)
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= _LATEST:
        raise InvalidParameterError(f"{name}: expected seconds since the epoch or RFC 3339, not {raw[:40]!r}")
    return seconds
