"""Links in Grafana: from exemplars to traces, from spans to log records, and from log records to traces."""

import pytest

from checks.telemetry.trace_links import check
from testkit.checkout import Checkout

DATA_SOURCES = "infra/grafana/provisioning/datasources/hopline.yaml"
SERVICES_DASHBOARD = "infra/grafana/dashboards/services.json"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        (
            DATA_SOURCES,
            "{ name: trace_id, datasourceUid: jaeger",
            "{ name: traceID, datasourceUid: jaeger",
            "it does not link to jaeger",
        ),
        (
            DATA_SOURCES,
            "{ name: trace_id, datasourceUid: jaeger",
            "{ name: trace_id, datasourceUid: loki",
            "it does not link to jaeger",
        ),
        (DATA_SOURCES, "customQuery: true", "customQuery: false", "it does not link to loki"),
        (DATA_SOURCES, 'trace_id="$${__trace.traceId}"', 'trace="$${__trace.traceId}"', "it does not link to loki"),
        (DATA_SOURCES, "matcherType: label", "matcherType: regex", "it does not link to jaeger"),
        (DATA_SOURCES, "matcherRegex: trace_id", "matcherRegex: traceID", "it does not link to jaeger"),
        (DATA_SOURCES, '"$${__value.raw}"', '"${__value.raw}"', "it does not link to jaeger"),
        (SERVICES_DASHBOARD, '"exemplar": true', '"exemplar": false', "no exemplar"),
    ],
)
def test_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(file, right, wrong)
    [finding] = check(checkout.root)
    assert expected in finding.problem
