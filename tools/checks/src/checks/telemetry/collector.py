"""The Collector's configuration: complete pipelines, queues that fit into memory, current options."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.findings import Finding
from checks.telemetry.backends import processes

FILES = (Path("infra/otel-collector/config.yaml"), Path("infra/jaeger/config.yaml"))
COLLECTOR = FILES[0]
IMAGE = "otel/opentelemetry-collector"
_KINDS = ("receivers", "processors", "exporters")

BASE_MIB = 45
"""Memory of an idle Collector, an upper estimate."""
IN_MEMORY = 3
"""Ratio of the size in memory to the serialised size, which `sizer: bytes` counts; an upper estimate."""

DATABASE_NAMES = {"db.system.name"}
PEER_NAMES = {"service.peer.name", "peer.service", "server.address", "messaging.system"}
"""Attributes with which the service graph names peers without spans."""

SLOW_SPAN = "(end_time_unix_nano - start_time_unix_nano) > 500000000"
"""The OTTL condition of slow spans. docs/deploy.md states the 500 ms."""


def check(root: Path) -> Iterator[Finding]:
    """Check the Collector, and Jaeger, which is a Collector too."""
    for file in FILES:
        content: dict[str, Any] = yaml.safe_load((root / file).read_text(encoding="utf-8"))
        yield from _check_references(file, content)
        yield from _check_connectors(file, content)
        yield from _check_own_telemetry(file, content)
        if file == COLLECTOR:
            yield from _check_order(content)
            yield from _check_names(content)
            yield from _check_queues(root, content)
            yield from _check_sampling(content)
            yield from _check_connector_options(content)


def copies_of_service_name(root: Path) -> set[str]:
    """Return the attributes with a copy of `service.name` in all spans that Jaeger receives."""
    content: dict[str, Any] = yaml.safe_load((root / COLLECTOR).read_text(encoding="utf-8"))
    to_jaeger = [
        pipeline for pipeline in content["service"]["pipelines"].values() if "otlp_http/jaeger" in pipeline["exporters"]
    ]
    copied = [
        {
            action["key"]
            for name in pipeline.get("processors") or []
            if name.partition("/")[0] == "resource"
            for action in content["processors"][name]["attributes"]
            if action.get("from_attribute") == "service.name"
        }
        for pipeline in to_jaeger
    ]
    return set.intersection(*copied) if copied else set()


def counters_end_in_total(root: Path) -> bool:
    """Return whether the Collector's own counters have the suffix `_total` in Prometheus."""
    content: dict[str, Any] = yaml.safe_load((root / COLLECTOR).read_text(encoding="utf-8"))
    return not all(reader.get("without_type_suffix", True) for reader in _prometheus_readers(content))


def _check_references(file: Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    service = content["service"]
    used = {kind: set[str]() for kind in (*_KINDS, "extensions")}
    used["extensions"].update(service.get("extensions", []))
    for name, pipeline in service["pipelines"].items():
        for kind in _KINDS:
            components = pipeline.get(kind) or []
            used[kind].update(components)
            if not components and kind != "processors":
                yield Finding(f"{file} {name}", f"the pipeline has no {kind}", "add one or remove the pipeline")
    connectors = set(content.get("connectors") or {})
    for kind, components in used.items():
        there = set(content.get(kind) or {})
        for component in sorted(components - there - (connectors if kind in {"receivers", "exporters"} else set())):
            yield Finding(f"{file} {component}", f"a pipeline uses it, but it is not in {kind}", f"define it in {kind}")
        for component in sorted(there - components):
            yield Finding(f"{file} {component}", f"{kind} defines it, but no pipeline uses it", "use or remove it")


def _check_connectors(file: Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    pipelines = content["service"]["pipelines"].values()
    into = {name for pipeline in pipelines for name in pipeline.get("exporters") or []}
    out_of = {name for pipeline in pipelines for name in pipeline.get("receivers") or []}
    for connector in content.get("connectors") or {}:
        if connector not in into or connector not in out_of:
            yield Finding(
                f"{file} {connector}", "the connector is used at one end only", "export to it and receive from it"
            )


def _prometheus_readers(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    readers = content["service"].get("telemetry", {}).get("metrics", {}).get("readers", [])
    exporters = [reader.get("pull", {}).get("exporter", {}) for reader in readers]
    return [exporter["prometheus"] for exporter in exporters if "prometheus" in exporter]


def _check_own_telemetry(file: Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that options for the Collector's own telemetry are explicit if their defaults depend on the version."""
    resource = content["service"].get("telemetry", {}).get("resource", {})
    if resource and set(resource) != {"attributes"}:
        yield Finding(
            f"{file} telemetry.resource", "a map of attributes is the legacy form", "attributes: [{name: …, value: …}]"
        )
    if file == COLLECTOR and not all("without_type_suffix" in reader for reader in _prometheus_readers(content)):
        yield Finding(
            f"{file} telemetry.metrics", "the names of its counters depend on the version", "set without_type_suffix"
        )


def _check_queues(root: Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that queues are limited in bytes, and together fit below the soft limit of the memory limiter."""
    total = 0
    for name, exporter in content["exporters"].items():
        queue = exporter.get("sending_queue", {})
        place = f"{COLLECTOR} {name}"
        if queue.get("sizer") != "bytes":
            yield Finding(place, "its queue is limited in requests of any size", "set sending_queue.sizer: bytes")
            continue
        if "sizer" not in queue.get("batch", {}):
            yield Finding(place, "its batches would be counted in bytes like its queue", "set batch.sizer: items")
        total += queue["queue_size"]
    limiter = content["processors"]["memory_limiter"]
    full = BASE_MIB + IN_MEMORY * total / 1024**2
    for process in processes(root):
        soft = process.memory * (limiter["limit_percentage"] - limiter["spike_limit_percentage"]) / 100
        if process.image.startswith(IMAGE) and process.memory and full > soft:
            problem = f"with full queues it needs {full:.0f} MiB, but {process.place} rejects data above {soft:.0f} MiB"
            yield Finding(f"{COLLECTOR} sending_queue", problem, "make the queues smaller, or its memory larger")


def _check_sampling(content: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that failed and slow traces are kept, and that later spans of a trace follow its decision."""
    for name, processor in content["processors"].items():
        if name.partition("/")[0] != "tail_sampling":
            continue
        place = f"{COLLECTOR} {name}"
        policies = processor["policies"]
        for policy in policies:
            if policy["type"] == "latency":
                yield Finding(
                    f"{place} {policy['name']}",
                    "it measures whole traces, including waits between spans, so it keeps every order",
                    "use an ottl_condition on the duration of a span",
                )
        if not any("ERROR" in _of_type("status_code", policy).get("status_codes", []) for policy in policies):
            yield Finding(place, "no policy keeps failed traces", "add a status_code policy with ERROR")
        conditions = [span for policy in policies for span in _of_type("ottl_condition", policy).get("span", [])]
        if SLOW_SPAN not in conditions:
            yield Finding(place, "no policy keeps traces with a slow span", f"add an ottl_condition: {SLOW_SPAN}")
        for size in ("sampled_cache_size", "non_sampled_cache_size"):
            if processor.get("decision_cache", {}).get(size, 0) <= processor["num_traces"]:
                yield Finding(
                    place,
                    "later spans of an evicted trace get another decision",
                    f"set decision_cache.{size} above num_traces",
                )


def _of_type(kind: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a policy of this type; empty if it has another type."""
    options: dict[str, Any] = policy.get(kind, {}) if policy["type"] == kind else {}
    return options


def _check_connector_options(content: Mapping[str, Any]) -> Iterator[Finding]:
    for name, connector in content["connectors"].items():
        place = f"{COLLECTOR} {name}"
        match name.partition("/")[0]:
            case "span_metrics" if "collector.instance.id" not in connector.get("exclude_dimensions", []):
                yield Finding(
                    place,
                    "a restart starts new series",
                    "exclude the dimension collector.instance.id of one Collector",
                )
            case "service_graph":
                databases = set(connector.get("database_name_attributes", []))
                peers = set(connector.get("virtual_node_peer_attributes", []))
                if lacking := sorted((DATABASE_NAMES - databases) | (PEER_NAMES - peers)):
                    problem = f"peers named only by {', '.join(lacking)} are `unknown`"
                    yield Finding(
                        place, problem, "add to database_name_attributes (db.…) or virtual_node_peer_attributes"
                    )
            case _:
                pass


def _check_order(content: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the order: the memory limiter is first, span metrics come before sampling, and queues batch."""
    for name, pipeline in content["service"]["pipelines"].items():
        place = f"{COLLECTOR} {name}"
        processors = pipeline.get("processors") or []
        if processors[:1] != ["memory_limiter"]:
            yield Finding(place, "memory_limiter is not the first processor", "put it first")
        derives_metrics = set(pipeline.get("exporters") or []) & set(content.get("connectors") or {})
        if derives_metrics and "tail_sampling" in processors:
            yield Finding(place, "metrics are derived from sampled spans", "sample in another pipeline")
    for name, exporter in content["exporters"].items():
        if name.startswith("otlp") and "batch" not in exporter.get("sending_queue", {}):
            yield Finding(f"{COLLECTOR} {name}", "it sends without batching", "add sending_queue: {batch: {…}}")


def _check_names(content: Mapping[str, Any]) -> Iterator[Finding]:
    for kind in (*_KINDS, "connectors", "extensions"):
        for name in content.get(kind) or {}:
            if new := _NEW_NAMES.get(name.partition("/")[0]):
                yield Finding(f"{COLLECTOR} {name}", "the Collector has replaced it", f"use {new}")


_NEW_NAMES = {
    "otlphttp": "otlp_http",
    "otlp_grpc_http": "otlp_http",
    "spanmetrics": "span_metrics",
    "servicegraph": "service_graph",
    "batch": "sending_queue: {batch: {}} in the exporter",
}
"""The components that replace deprecated components."""
