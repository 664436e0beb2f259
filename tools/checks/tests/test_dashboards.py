"""Grafana's dashboards and the data sources that they, and each other, lead to."""

import pytest

from checks.telemetry.dashboards import check
from checks.telemetry.promql import mistake
from testkit.checkout import Checkout

BOARD = "infra/grafana/dashboards/work.json"
SERVICES = "infra/grafana/dashboards/services.json"
COLLECTOR = "infra/otel-collector/config.yaml"
SOURCES = "infra/grafana/provisioning/datasources/hopline.yaml"


def test_ours_are_right(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        (
            BOARD,
            "sum(rate(hopline_notifications_sent_total",
            "sum(rate((hopline_notifications_sent_total",
            "does not parse",
        ),
        (
            BOARD,
            '"uid": "prometheus"\n          },\n          "expr"',
            '"uid": "mimir"\n          },\n          "expr"',
            "no data source mimir",
        ),
        (BOARD, '"uid": "hopline-work"', '"uid": "hopline-services"', "its uid hopline-services"),
        (BOARD, '"description": "A second, by stream"', '"description": ""', "does not say how to read it"),
        (SOURCES, "datasourceUid: loki", "datasourceUid: logs", "it leads to logs"),
        (SOURCES, "datasourceUid: loki", "datasourceUid: jaeger", "no other data source leads to it"),
        (SOURCES, "query: sum(rate(", "query: sum(rate((", "does not parse"),
        (
            SOURCES,
            '{span_name="$${__span.name}",$$__tags}',
            '{$$__tags,span_name="$${__span.name}"}',
            "does not parse: invalid promql query for a span without tags",
        ),
        (SOURCES, "key: hopline.service,", "key: service.name,", "no span has the tag service.name"),
        (SOURCES, "key: hopline.service,", "key: service,", "makes no copy service of service.name"),
        (COLLECTOR, "tail_sampling, resource/service]", "tail_sampling]", "makes no copy hopline.service"),
        (
            SERVICES,
            "label_values(hopline_event_loop_delay_seconds_count",
            "label_values(http_server_active_requests",
            "it lists only those",
        ),
        (SERVICES, "_count{service_namespace", "_count{,service_namespace", "its query does not parse"),
        (SERVICES, "| line_format", "| label_format", "shows names of events only"),
    ],
)
def test_a_planted_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, said: str) -> None:
    checkout.spoil(file, right, wrong)
    assert any(said in finding.wrong for finding in check(checkout.root))


@pytest.mark.parametrize(
    "query",
    ['rate(a{b=~"$service"}[$__rate_interval])', 'rate(a{c="$${__span.name}",$$__tags}[5m])', "a[${__range}]"],
)
def test_variables_are_no_mistakes(query: str) -> None:
    assert mistake(query) is None
