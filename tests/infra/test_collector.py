"""The Collector's pipelines, and those of Jaeger."""

import pytest

from checks.telemetry.collector import check
from testkit.checkout import Checkout

FILE = "infra/otel-collector/config.yaml"
JAEGER = "infra/jaeger/config.yaml"


def test_ours_hang_together(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        (FILE, "exporters: [otlp_http/loki]", "exporters: [otlp_http/lokki]", "a pipeline uses it"),
        (FILE, "exporters: [otlp_http/loki]", "exporters: [otlp_http/jaeger]", "nothing uses it"),
        (FILE, "exporters: [otlp_http/loki]", "exporters: []", "has no exporters"),
        (FILE, "receivers: [otlp, span_metrics, service_graph]", "receivers: [otlp, span_metrics]", "lacks an end"),
        (FILE, "extensions: [health_check]", "extensions: [health]", "a pipeline uses it"),
        (
            FILE,
            "processors: [memory_limiter, tail_sampling]",
            "processors: [tail_sampling, memory_limiter]",
            "not the first",
        ),
        (FILE, "processors: [memory_limiter]\n", "processors: [memory_limiter, tail_sampling]\n", "of sampled spans"),
        (FILE, "batch: { flush_timeout: 1s, min_size: 1000, max_size: 2000 }", "sizer: items", "without batching"),
        (FILE, "  redis:\n", "  otlphttp: {}\n  redis:\n", "by a new name"),
        (JAEGER, "processors: [batch]", "processors: []", "nothing uses it"),
    ],
)
def test_a_planted_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, said: str) -> None:
    checkout.spoil(file, right, wrong)
    found = [finding for finding in check(checkout.root) if said in finding.wrong]
    assert found
    assert all(finding.place.startswith(file) for finding in found)
