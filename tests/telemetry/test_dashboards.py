"""The observatory's metrics page evaluates the metrics of Grafana's dashboards with the same operations."""

import json
import re
from collections.abc import Iterator

import pytest

from observatory import promql
from observatory.metric_tables import TABLES
from observatory.promql import Aggregation, Binary, Expression, Quantile, Rate, Selector
from testkit.telemetry_page import read_listed

from .emitted import ROOT
from .test_services import strip_suffixes

DASHBOARDS = sorted((ROOT / "infra/grafana/dashboards").glob("*.json"))
METRIC_OF_A_SERVICE = re.compile(r"\b(?:hopline|http|db|messaging)_[a-z_]+\b(?=[{\[)])")


def read_dashboard_expressions() -> dict[str, Expression]:
    """Return the parsed expressions of the dashboards that use metrics of the services, by text."""
    expressions = {}
    for dashboard in DASHBOARDS:
        for panel in json.loads(dashboard.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                text = target.get("expr", "")
                if METRIC_OF_A_SERVICE.search(text):
                    expressions[text] = promql.parse(text.replace("$__rate_interval", "1m").replace("$service", ".+"))
    return expressions


def read_page_expressions() -> dict[str, Expression]:
    """Return the parsed expressions of the metrics page, by text."""
    return {column.expression: promql.parse(column.over(60)) for table in TABLES for column in table.columns}


def list_operations(expression: Expression, *outer: str) -> Iterator[tuple[str, ...]]:
    """Yield the operations on each metric, outermost first: `("histogram_quantile 0.99", "sum", "rate", metric)`.

    `topk` is omitted, because it only limits the number of series in a panel.
    """
    match expression:
        case Selector(name=name):
            yield *outer, name
        case Rate(function=function, selector=selector):
            yield *outer, function, selector.name
        case Quantile(quantile=quantile, buckets=inner):
            yield from list_operations(inner, *outer, f"histogram_quantile {quantile:g}")
        case Aggregation(function="topk", operand=inner):
            yield from list_operations(inner, *outer)
        case Aggregation(function=function, operand=inner):
            yield from list_operations(inner, *outer, function)
        case Binary(operator=operator, left=left, right=right):
            yield from list_operations(left, *outer, f"left of {operator}")
            yield from list_operations(right, *outer, f"right of {operator}")


def test_page_uses_only_listed_metrics() -> None:
    known = {strip_suffixes(name.replace(".", "_")) for name in read_listed("Metrics")}
    selectors = [
        selector for expression in read_page_expressions().values() for selector in promql.selectors(expression)
    ]
    assert {strip_suffixes(selector.name) for selector in selectors} - known == set()


@pytest.mark.parametrize("text", read_dashboard_expressions())
def test_page_computes_the_operations_of_each_dashboard_expression(text: str) -> None:
    on_page = {chain for expression in read_page_expressions().values() for chain in list_operations(expression)}
    assert set(list_operations(read_dashboard_expressions()[text])) - on_page == set()
