"""Links in Grafana: from exemplars to traces, from spans to log records, and back."""

import pytest

from checks.telemetry.joins import check
from testkit.checkout import Checkout

SOURCES = "infra/grafana/provisioning/datasources/hopline.yaml"
BOARD = "infra/grafana/dashboards/services.json"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        (SOURCES, "{ name: trace_id, datasourceUid: jaeger", "{ name: traceID, datasourceUid: jaeger", "to jaeger"),
        (SOURCES, "{ name: trace_id, datasourceUid: jaeger", "{ name: trace_id, datasourceUid: loki", "to jaeger"),
        (SOURCES, "customQuery: true", "customQuery: false", "to loki"),
        (SOURCES, 'trace_id="$${__trace.traceId}"', 'trace="$${__trace.traceId}"', "to loki"),
        (SOURCES, "matcherType: label", "matcherType: regex", "to jaeger"),
        (SOURCES, "matcherRegex: trace_id", "matcherRegex: traceID", "to jaeger"),
        (SOURCES, '"$${__value.raw}"', '"${__value.raw}"', "to jaeger"),
        (BOARD, '"exemplar": true', '"exemplar": false', "no exemplar"),
    ],
)
def test_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(file, right, wrong)
    found = list(check(checkout.root))
    assert len(found) == 1
    assert expected in found[0].wrong
