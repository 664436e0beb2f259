"""The Collector's configuration: every component a pipeline names is defined, and every defined one is used."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.findings import Finding

FILES = (Path("infra/otel-collector/config.yaml"), Path("infra/jaeger/config.yaml"))
COLLECTOR = FILES[0]
_KINDS = ("receivers", "processors", "exporters")


def check(root: Path) -> Iterator[Finding]:
    """Check the Collector, and Jaeger, which is one too."""
    for file in FILES:
        content: dict[str, Any] = yaml.safe_load((root / file).read_text(encoding="utf-8"))
        yield from _references(file, content)
        yield from _connectors(file, content)
        if file == COLLECTOR:
            yield from _order(content)


def _references(file: Path, content: Mapping[str, Any]) -> Iterator[Finding]:
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
            yield Finding(f"{file} {component}", f"a pipeline uses it and {kind} has no such", f"define it in {kind}")
        for component in sorted(there - components):
            yield Finding(f"{file} {component}", f"{kind} defines it and nothing uses it", "use or remove it")


def _connectors(file: Path, content: Mapping[str, Any]) -> Iterator[Finding]:
    pipelines = content["service"]["pipelines"].values()
    into = {name for pipeline in pipelines for name in pipeline.get("exporters") or []}
    out_of = {name for pipeline in pipelines for name in pipeline.get("receivers") or []}
    for connector in content.get("connectors") or {}:
        if connector not in into or connector not in out_of:
            yield Finding(f"{file} {connector}", "the connector lacks an end", "export to it and receive from it")


def _order(content: Mapping[str, Any]) -> Iterator[Finding]:
    """What figures are made of must not be sampled before; memory is watched first; queues batch."""
    for name, pipeline in content["service"]["pipelines"].items():
        place = f"{COLLECTOR} {name}"
        processors = pipeline.get("processors") or []
        if processors[:1] != ["memory_limiter"]:
            yield Finding(place, "memory_limiter is not the first processor", "put it first")
        makes_figures = set(pipeline.get("exporters") or []) & set(content.get("connectors") or {})
        if makes_figures and "tail_sampling" in processors:
            yield Finding(place, "figures are made of sampled spans", "sample in another pipeline")
    for name, exporter in content["exporters"].items():
        if name.startswith("otlp") and "batch" not in exporter.get("sending_queue", {}):
            yield Finding(f"{COLLECTOR} {name}", "it sends without batching", "add sending_queue: {batch: {…}}")
    for kind in ("receivers", "processors", "exporters", "connectors", "extensions"):
        for name in content.get(kind) or {}:
            if name.split("/")[0] in _OLD_NAMES:
                new = _OLD_NAMES[name.split("/")[0]]
                yield Finding(f"{COLLECTOR} {name}", "the Collector calls it by a new name", f"write {new}")


_OLD_NAMES = {
    "otlphttp": "otlp_http",
    "otlp_grpc_http": "otlp_http",
    "spanmetrics": "span_metrics",
    "servicegraph": "service_graph",
    "batch": "sending_queue: {batch: {}} in the exporter",
}
