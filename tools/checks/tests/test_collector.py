"""The Collector's pipelines, and those of Jaeger."""

import pytest

from checks.telemetry.collector import check
from testkit.checkout import Checkout

COLLECTOR = "infra/otel-collector/config.yaml"
JAEGER = "infra/jaeger/config.yaml"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        (COLLECTOR, "exporters: [otlp_http/loki]", "exporters: [otlp_http/lokki]", "a pipeline uses it"),
        (COLLECTOR, "exporters: [otlp_http/loki]", "exporters: [otlp_http/jaeger]", "no pipeline uses it"),
        (COLLECTOR, "exporters: [otlp_http/loki]", "exporters: []", "has no exporters"),
        (
            COLLECTOR,
            "receivers: [otlp, span_metrics, service_graph]",
            "receivers: [otlp, span_metrics]",
            "at one end only",
        ),
        (COLLECTOR, "extensions: [health_check]", "extensions: [health]", "a pipeline uses it"),
        (
            COLLECTOR,
            "processors: [memory_limiter, tail_sampling, ",
            "processors: [tail_sampling, memory_limiter, ",
            "not the first",
        ),
        (
            COLLECTOR,
            "processors: [memory_limiter]\n",
            "processors: [memory_limiter, tail_sampling]\n",
            "from sampled spans",
        ),
        (
            COLLECTOR,
            "      batch: { sizer: items, flush_timeout: 1s, min_size: 1000, max_size: 2000 }\n",
            "",
            "without batching",
        ),
        (
            COLLECTOR,
            "      sizer: bytes\n      queue_size: 4000000\n",
            "      queue_size: 5000\n",
            "requests of any size",
        ),
        (COLLECTOR, "batch: { sizer: items, flush", "batch: { flush", "batches would be counted in bytes"),
        (COLLECTOR, "queue_size: 4000000", "queue_size: 40000000", "with full queues it needs"),
        (COLLECTOR, "without_type_suffix: true, ", "", "names of its counters depend on the version"),
        (
            COLLECTOR,
            "exclude_dimensions: [collector.instance.id]",
            "exclude_dimensions: []",
            "a restart starts new series",
        ),
        (
            COLLECTOR,
            "database_name_attributes: [db.system.name]",
            "database_name_attributes: [db.name]",
            "named only by db.system.name",
        ),
        (COLLECTOR, "server.address, messaging.system]", "server.address]", "peers named only by messaging.system"),
        (
            COLLECTOR,
            "type: ottl_condition",
            "type: latency\n        latency: { threshold_ms: 500 }",
            "measures whole traces",
        ),
        (
            COLLECTOR,
            "status_code: { status_codes: [ERROR] }",
            "status_code: { status_codes: [UNSET] }",
            "no policy keeps failed",
        ),
        (COLLECTOR, "type: ottl_condition", "type: always_sample", "no policy keeps traces with a slow span"),
        (
            COLLECTOR,
            "(end_time_unix_nano - start_time_unix_nano) > 5",
            "(end_time_unix_nano - start_time_unix_nano) < 5",
            "a slow",
        ),
        (
            COLLECTOR,
            'span: ["(end_time_unix_nano - start_time_unix_nano) > 500000000"]',
            'spanevent: ["(end_time_unix_nano - start_time_unix_nano) > 500000000"]',
            "a slow span",
        ),
        (
            COLLECTOR,
            "    decision_cache: { sampled_cache_size: 50000, non_sampled_cache_size: 50000 }\n",
            "",
            "get another decision",
        ),
        (COLLECTOR, ", non_sampled_cache_size: 50000", "", "get another decision"),
        (COLLECTOR, "sampled_cache_size: 50000", "sampled_cache_size: 5000", "get another decision"),
        (JAEGER, "{ attributes: [{ name: service.name, value: jaeger }] }", "{ service.name: jaeger }", "legacy form"),
        (COLLECTOR, "  redis:\n", "  otlphttp: {}\n  redis:\n", "has replaced it"),
        (JAEGER, "processors: [batch]", "processors: []", "no pipeline uses it"),
    ],
)
def test_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(file, right, wrong)
    found = [finding for finding in check(checkout.root) if expected in finding.problem]
    assert found
    assert all(finding.place.startswith(file) for finding in found)


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("infra/compose/telemetry.yaml", "memory: 144M", "memory: 128M"),
        ("infra/k8s/components/development-telemetry/backends/collector.yaml", "memory: 288Mi", "memory: 128Mi"),
    ],
)
def test_memory_limit_is_found_when_full_queues_need_more(
    checkout: Checkout, file: str, right: str, wrong: str
) -> None:
    checkout.corrupt(file, right, wrong)
    [finding] = check(checkout.root)
    assert finding.problem == f"with full queues it needs 74 MiB, but {file} collector rejects data above 70 MiB"


def test_slow_policy_is_found_when_it_is_missing(checkout: Checkout) -> None:
    text = (checkout.root / COLLECTOR).read_text(encoding="utf-8")
    start, end = text.index("      - name: slow"), text.index("      - { name: share")
    checkout.write(COLLECTOR, text[:start] + text[end:])
    assert [finding.problem for finding in check(checkout.root)] == ["no policy keeps traces with a slow span"]
