"""The content of the metrics page as JSON: GET /observatory/metrics on Prometheus's port.

`window` (`5m`, `15m`, `1h`) is the range of the figures. Their history uses Grafana's `$__rate_interval`.

    {"now_s", "window_s", "from_s", "step_s",
     "tables": [{"id", "title", "note", "by": [{"label", "title"}], "columns": [{"title", "unit"}],
                 "rows": [{"labels": {…}, "cells": [{"value", "history": […]}], "exemplar"}], "more", "error"}],
     "kept": {"series", "points", "bytes", "received", "evicted", "dropped": {reason: points}, "limits": {…}}}

A value is null if there is none. `exemplar` is null or `{"trace_id", "value", "time_s"}` of the slowest recorded trace.
`more` counts the rows beyond MAX_ROWS that were left out.
"""

import time
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from observatory import promql
from observatory.metric_names import Labels
from observatory.metric_query import Evaluation, TooLargeError, Vector, select
from observatory.metric_tables import LABEL_TITLES, TABLES, Table
from observatory.metrics import MetricLimits, MetricStore
from observatory.otlp_metrics import MetricReader
from observatory.prometheus import InvalidParameterError, duration_s
from observatory.responses import JsonResponse
from observatory.series import Exemplar

Json: TypeAlias = "dict[str, Any]"

MAX_ROWS: Final = 25
_MOMENTS: Final = 40  # of the history
_MIN_WINDOW_S, _DEFAULT_WINDOW = 60, "15m"
_SCRAPE_S: Final = 15  # `timeInterval` of Grafana's data source
_MAX_VALUES: Final = 2_000_000
_TOO_LARGE: Final = f"more than {_MAX_VALUES} values: record fewer label values, or lower OBSERVATORY_MAX_SERIES"

_parsed = lru_cache(maxsize=512)(promql.parse)


class MetricPage:
    """Evaluates the tables."""

    def __init__(self, *, metrics: MetricStore, reader: MetricReader, limits: MetricLimits) -> None:
        self._metrics = metrics
        self._reader = reader
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return the endpoint."""
        return [Route("/observatory/metrics", self.tables)]

    async def tables(self, request: Request) -> Response:
        """Return every table over the window, and the status of the store."""
        window_s = duration_s(request.query_params.get("window") or _DEFAULT_WINDOW, "window")
        if not _MIN_WINDOW_S <= window_s <= max(_MIN_WINDOW_S, self._limits.seconds):
            longest = round(self._limits.seconds / 60)
            raise InvalidParameterError(f"window: expected 1m to {longest}m, the maximum age of a point")
        step_s = window_s / _MOMENTS
        now_s = time.time()
        moments = [now_s - step_s * (_MOMENTS - number) for number in range(_MOMENTS + 1)]
        figures = Evaluation(self._metrics, [now_s], max_values=_MAX_VALUES)
        history = Evaluation(self._metrics, moments, max_values=_MAX_VALUES)
        ranges_s = (window_s, max(4.0 * _SCRAPE_S, step_s + _SCRAPE_S))
        return JsonResponse(
            {
                "now_s": now_s,
                "window_s": window_s,
                "from_s": moments[0],
                "step_s": step_s,
                "tables": [self._table(table, (figures, history), ranges_s, now_s - window_s) for table in TABLES],
                "kept": self.store_status(),
            }
        )

    def store_status(self) -> Json:
        """Return the content and the limits of the store, and the dropped points by reason."""
        return {
            "series": len(self._metrics),
            "points": self._metrics.point_count,
            "bytes": self._metrics.byte_count,
            "received": self._reader.points,
            "evicted": self._metrics.evicted_points,
            "dropped": dict(self._metrics.dropped),
            "limits": asdict(self._limits),
        }

    def _table(
        self, table: Table, evaluations: tuple[Evaluation, Evaluation], ranges_s: tuple[float, float], since_s: float
    ) -> Json:
        described = {
            "id": table.id,
            "title": table.title,
            "note": table.note,
            "by": [{"label": label, "title": LABEL_TITLES.get(label, label)} for label in table.by],
            "columns": [{"title": column.title, "unit": column.unit} for column in table.columns],
        }
        try:
            figures, history = (
                [_evaluate(evaluation, column.over(seconds)) for column in table.columns]
                for evaluation, seconds in zip(evaluations, ranges_s, strict=True)
            )
        except TooLargeError:
            return described | {"rows": [], "more": 0, "error": _TOO_LARGE}
        slowest = self._slowest(table, since_s)
        found = sorted({labels for vector in (*figures, *history) for labels in vector})
        shown = sorted(found, key=lambda labels: -_first(figures[0].get(labels)))[:MAX_ROWS]
        rows = [
            {
                "labels": dict(labels),
                "cells": [_cell(*vectors, labels) for vectors in zip(figures, history, strict=True)],
                "exemplar": slowest.get(labels),
            }
            for labels in sorted(shown)
        ]
        return described | {"rows": rows, "more": len(found) - len(shown), "error": None}

    def _slowest(self, table: Table, since_s: float) -> dict[Labels, Json]:
        """Return the exemplar with the largest value by the labels of a row."""
        found: dict[Labels, Exemplar] = {}
        if not table.exemplars:
            return {}
        [selector] = promql.selectors(_parsed(table.exemplars))
        for series, _ in select(self._metrics, selector):
            row = tuple(pair for pair in series.labels if pair[0] in table.by)
            for exemplar in series.exemplars:
                if exemplar.time_s >= since_s and (row not in found or exemplar.value > found[row].value):
                    found[row] = exemplar
        return {
            row: {"trace_id": exemplar.trace_id, "value": exemplar.value, "time_s": exemplar.time_s}
            for row, exemplar in found.items()
        }


def _evaluate(evaluation: Evaluation, expression: str) -> Vector:
    found = evaluation.evaluate(_parsed(expression))
    assert not isinstance(found, float)  # noqa: S101 - each column of a table selects a metric
    return found


def _cell(figures: Vector, history: Vector, labels: Labels) -> Json:
    values = history.get(labels, [])
    return {
        "value": _rounded(figures[labels][0]) if labels in figures else None,
        "history": [_rounded(value) for value in values],
    }


def _rounded(value: object) -> float | None:
    """Return four digits of a number, which are enough to draw and to read it; None for other values."""
    return float(f"{value:.4g}") if isinstance(value, float) else None


def _first(row: object) -> float:
    return row[0] if isinstance(row, list) and isinstance(row[0], float) else 0.0
