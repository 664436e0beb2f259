"""Grafana's dashboards and the links between data sources."""

import pytest

from checks.telemetry.dashboards import check
from checks.telemetry.promql import parse_error
from testkit.checkout import Checkout

WORK_DASHBOARD = "infra/grafana/dashboards/work.json"
SERVICES_DASHBOARD = "infra/grafana/dashboards/services.json"
COLLECTOR = "infra/otel-collector/config.yaml"
DATA_SOURCES = "infra/grafana/provisioning/datasources/hopline.yaml"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        (
            WORK_DASHBOARD,
            "sum(rate(hopline_notifications_sent_total",
            "sum(rate((hopline_notifications_sent_total",
            "does not parse",
        ),
        (
            WORK_DASHBOARD,
            '"uid": "prometheus"\n          },\n          "expr"',
            '"uid": "mimir"\n          },\n          "expr"',
            "no data source mimir",
        ),
        (WORK_DASHBOARD, '"uid": "hopline-work"', '"uid": "hopline-services"', "its uid hopline-services is also"),
        (WORK_DASHBOARD, '"uid": "hopline-work"', '"uid": ""', "it has no uid"),
        (WORK_DASHBOARD, '"targets": [', '"queries": [', "the panel has no query"),
        (WORK_DASHBOARD, '"description": "Per second, by stream"', '"description": ""', "no description"),
        (DATA_SOURCES, "datasourceUid: loki", "datasourceUid: logs", "it links to logs"),
        (DATA_SOURCES, "datasourceUid: loki", "datasourceUid: jaeger", "no other data source links to it"),
        (DATA_SOURCES, "query: sum(rate(", "query: sum(rate((", "does not parse"),
        (
            DATA_SOURCES,
            '{span_name="$${__span.name}",$$__tags}',
            '{$$__tags,span_name="$${__span.name}"}',
            "does not parse: invalid promql query for a span without tags",
        ),
        (DATA_SOURCES, "key: hopline.service,", "key: service.name,", "no span has the tag service.name"),
        (DATA_SOURCES, "key: hopline.service,", "key: service,", "does not copy service.name to service"),
        (
            COLLECTOR,
            "tail_sampling, resource/service]",
            "tail_sampling]",
            "does not copy service.name to hopline.service",
        ),
        (
            SERVICES_DASHBOARD,
            "label_values(hopline_event_loop_delay_seconds_count",
            "label_values(http_server_active_requests",
            "it lists only services",
        ),
        (SERVICES_DASHBOARD, "_count{service_namespace", "_count{,service_namespace", "its query does not parse"),
        (SERVICES_DASHBOARD, "| line_format", "| label_format", "shows names of events only"),
    ],
)
def test_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(file, right, wrong)
    assert any(expected in finding.problem for finding in check(checkout.root))


@pytest.mark.parametrize(
    "query",
    ['rate(a{b=~"$service"}[$__rate_interval])', 'rate(a{c="$${__span.name}",$$__tags}[5m])', "a[${__range}]"],
)
def test_query_with_variables_parses(query: str) -> None:
    assert parse_error(query) is None
