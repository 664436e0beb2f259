"""The telemetry backends in Compose and kind."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from checks.programs import Program
from checks.telemetry.backends import check
from testkit.checkout import Checkout

Require = Callable[[Program], None]

NODE = Program("node", "https://nodejs.org")
COMPOSE = "infra/compose/telemetry.yaml"
KIND_STORES = "infra/k8s/components/development-stores/stores"
KIND_TELEMETRY = "infra/k8s/components/development-telemetry/backends"
LOKI = "infra/loki/config.yaml"
JAEGER_UI = "infra/jaeger/ui.js"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HOUR_US = 3_600_000_000


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        (COMPOSE, "      - --enable-feature=created-timestamp-zero-ingestion", "     ", "first value of a counter"),
        (COMPOSE, "--enable-feature=exemplar-storage", "--log.level=warn", "it drops exemplars"),
        (
            f"{KIND_TELEMETRY}/prometheus.yaml",
            "- --enable-feature=created-timestamp-zero-ingestion",
            "- --log.level=warn",
            "first value of a counter",
        ),
        (
            f"{KIND_TELEMETRY}/prometheus.yaml",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
            "it drops exemplars",
        ),
        (f"{KIND_TELEMETRY}/prometheus.yaml", "value: 220MiB", "value: 280MiB", "GOMEMLIMIT is 97%"),
        (f"{KIND_TELEMETRY}/loki.yaml", "memory: 288Mi", "memory: 512Mi", "GOMEMLIMIT is 43%"),
        (f"{KIND_TELEMETRY}/collector.yaml", "memory: 288Mi", "memory: 192Mi", "GOMEMLIMIT is 115%"),
        (f"{KIND_TELEMETRY}/grafana.yaml", "            - {name: GOMEMLIMIT, value: 220MiB}\n", "", "GOMEMLIMIT is 0%"),
        (f"{KIND_TELEMETRY}/grafana.yaml", "grafana/grafana:13.1.0", "grafana/grafana:13.2.0", "as plugins"),
        (COMPOSE, "      OTEL_TRACES_SAMPLER: always_off", "     ", "Jaeger exports its own spans"),
        (f"{KIND_STORES}/jaeger.yaml", "value: always_off", "value: always_on", "Jaeger exports its own spans"),
        ("infra/jaeger/config.yaml", "max_traces: 1000", "max_traces: 2000", "2000 traces need 137 MiB"),
        (f"{KIND_STORES}/jaeger-config.yaml", "max_traces: 4000", "max_traces: 20000", "20000 traces need 1192 MiB"),
        (f"{KIND_STORES}/jaeger.yaml", "memory: 512Mi", "memory: 256Mi", "GOMEMLIMIT is 172% of its memory limit"),
        (f"{KIND_STORES}/mailpit.yaml", "            - {name: GOMEMLIMIT, value: 110MiB}\n", "", "GOMEMLIMIT is 0%"),
        (COMPOSE, "GOMEMLIMIT: 120MiB", "GOMEMLIMIT: 64MiB", "GOMEMLIMIT is 44%"),
        (COMPOSE, "grafana/grafana:13.1.0", "grafana/grafana:13.2.0", "as plugins"),
        (LOKI, "max_size_mb: 16", "max_size_mb: 100", "its caches may use 108 MB"),
        (LOKI, "query_range:", "unused:", "query_range.results_cache.cache 100 of them"),
        (LOKI, "min_ready_duration: 0s", "final_sleep: 0s", "ready 15 s late"),
        (LOKI, "tracing: { enabled: false }", "tracing: {}", "its own spans"),
        (JAEGER_UI, '+ ":" + port', '+ ":3000"', "a fixed port"),
        (JAEGER_UI, '"//" + window.location.hostname', '"//" + `${window.location.hostname}`', "dollar sign"),
        (JAEGER_UI, '"FROM"', '"now-1h"', "the current time"),
        (JAEGER_UI, "maxLimit: 200", "maxLimit: 201", "a search may need more memory"),
        (f"{KIND_STORES}/jaeger-ui.json", "200", "1500", "a search may need more memory"),
        (
            f"{KIND_STORES}/jaeger-config.yaml",
            "/etc/jaeger/ui.json",
            "/etc/jaeger/other",
            "a search may need more memory",
        ),
    ],
)
def test_mistake_is_found(checkout: Checkout, file: str, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(file, right, wrong)
    [finding] = check(checkout.root)
    assert finding.place.startswith(file)
    assert expected in finding.problem


@pytest.mark.parametrize(
    ("file", "limit"),
    [(COMPOSE, ", memory: 192M"), (f"{KIND_TELEMETRY}/loki.yaml", ", memory: 288Mi")],
    ids=["Compose", "kind"],
)
def test_gomemlimit_is_not_compared_when_the_container_has_no_memory_limit(
    checkout: Checkout, file: str, limit: str
) -> None:
    """Other validators report the missing limit."""
    checkout.corrupt(file, limit, "")
    assert not list(check(checkout.root))


COMPOSE_MAX_TRACES = 1066
"""The traces of 60 KiB that fit into three quarters of 110 MiB (GOMEMLIMIT) without the base of 20 MiB."""
KIND_MAX_TRACES = 5290
"""The same for a GOMEMLIMIT of 440 MiB."""


@pytest.mark.parametrize(
    ("traces", "places"),
    [
        (COMPOSE_MAX_TRACES, []),
        (COMPOSE_MAX_TRACES + 1, [COMPOSE]),
        (KIND_MAX_TRACES, [COMPOSE]),
        (KIND_MAX_TRACES + 1, [COMPOSE, f"{KIND_STORES}/jaeger.yaml"]),
    ],
)
def test_traces_are_found_when_they_need_more_than_three_quarters_of_gomemlimit(
    checkout: Checkout, traces: int, places: list[str]
) -> None:
    """In the overlay kind-telemetry, Jaeger reads the same configuration as in Compose."""
    checkout.corrupt("infra/jaeger/config.yaml", "max_traces: 1000", f"max_traces: {traces}")
    found = [finding.problem.partition("GOMEMLIMIT of ")[2] for finding in check(checkout.root)]
    assert found == [f"{place} jaeger" for place in places]


@pytest.mark.parametrize(
    ("jaeger_port", "grafana_port"),
    [("16686", 3000), ("16786", 3100), ("", 3000)],
    ids=["default ports", "offset 100", "no port in the address"],
)
def test_jaeger_links_to_the_grafana_of_its_stack(
    root: Path, require: Require, jaeger_port: str, grafana_port: int
) -> None:
    require(NODE)
    location = {"protocol": "http:", "hostname": "localhost", "port": jaeger_port}
    script = f"const window = {{ location: {json.dumps(location)} }};\n{(root / JAEGER_UI).read_text()}\n"
    done = NODE.run("--eval", f"{script}console.log(JSON.stringify(UIConfig()))")
    assert done.returncode == 0, done.stderr
    [pattern] = json.loads(done.stdout)["linkPatterns"]
    # `#` would begin the fragment of the URL
    filled = pattern["url"].replace("#{traceID}", TRACE_ID).replace("#{startTime |", "<").replace("#{endTime |", "<")
    url = urlsplit(filled)
    assert url.port == grafana_port
    panes = json.loads(parse_qs(url.query)["panes"][0])
    assert panes["logs"]["queries"][0]["expr"] == f'{{service_namespace="hopline"}} | trace_id=`{TRACE_ID}`'
    assert panes["logs"]["range"]["from"] == f"< add -{HOUR_US} | epoch_micros_to_date_iso}}"
    assert panes["logs"]["range"]["to"] == f"< add {HOUR_US} | epoch_micros_to_date_iso}}"
