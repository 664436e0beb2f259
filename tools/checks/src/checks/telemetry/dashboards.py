"""Grafana: queries of dashboards parse, and data sources are provisioned and linked."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.findings import Finding
from checks.telemetry.collector import copies_of_service_name
from checks.telemetry.promql import parse_error

DASHBOARDS = Path("infra/grafana/dashboards")
SOURCES = Path("infra/grafana/provisioning/datasources")
BUILT_IN = {"grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --"}
NOT_TAGS = {"service.name"}
"""Attributes that Jaeger does not include in the tags of a span."""
METRIC_OF_ALL_PROCESSES = "hopline_event_loop_delay_seconds_count"
"""A metric that all services and workers have, for lists of all processes."""

_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+),\s*(?P<label>\w+)\)")


def check(root: Path) -> Iterator[Finding]:
    """Check the data sources, then each dashboard."""
    sources = {source["uid"]: source for source in data_sources(root)}
    yield from _check_links(sources, copies_of_service_name(root))
    seen: dict[str, Path] = {}
    for file in sorted((root / DASHBOARDS).glob("*.json")):
        place = file.relative_to(root)
        dashboard = json.loads(file.read_text(encoding="utf-8"))
        uid = dashboard.get("uid")
        if not uid:
            yield Finding(str(place), "it has no uid", "add a unique one, because links contain it")
        elif uid in seen:
            yield Finding(str(place), f"its uid {uid} is also that of {seen[uid]}", "use a unique one")
        seen[uid] = place
        for variable in dashboard.get("templating", {}).get("list", []):
            yield from _check_variable(f"{place} ${variable['name']}", variable)
        for panel in panels(dashboard):
            yield from _check_panel(f"{place} “{panel.get('title', panel.get('id'))}”", panel, sources)


def _check_panel(place: str, panel: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    if panel["type"] == "row":
        return
    if not panel.get("targets"):
        yield Finding(place, "the panel has no query", "add a query")
    if not panel.get("description"):
        yield Finding(place, "the panel has no description", "describe how to read it")
    for target in panel.get("targets", []):
        uid = str((target.get("datasource") or panel.get("datasource") or {}).get("uid"))
        if uid not in sources and uid not in BUILT_IN:
            yield Finding(place, f"no data source {uid} is provisioned", f"use one of {', '.join(sorted(sources))}")
        elif uid in sources and sources[uid]["type"] == "prometheus" and (error := parse_error(target["expr"])):
            yield Finding(place, f"query {target['refId']} does not parse: {error}", "correct the PromQL")
        elif uid in sources and sources[uid]["type"] == "loki" and "line_format" not in target["expr"]:
            yield Finding(place, f"query {target['refId']} shows names of events only", "add the fields by line_format")


def _check_variable(place: str, variable: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the query of a variable parses, and that services come from a metric of all processes."""
    found = _LABEL_VALUES.fullmatch(variable["query"]["query"]) if variable["type"] == "query" else None
    if found is None:
        return
    if error := parse_error(found["selector"]):
        yield Finding(place, f"its query does not parse: {error}", "correct the PromQL")
    if found["label"] == "service_name" and not found["selector"].startswith(METRIC_OF_ALL_PROCESSES):
        yield Finding(place, "it lists only services with one metric", f"list them by {METRIC_OF_ALL_PROCESSES}")


def _check_links(sources: Mapping[str, Mapping[str, Any]], copies: set[str]) -> Iterator[Finding]:
    """Check that linked data sources exist, and that traces, logs and metrics link to each other."""
    reached = set[str]()
    for uid, source in sources.items():
        for target in _linked_sources(source.get("jsonData", {})):
            reached.add(target)
            if target not in sources:
                yield Finding(
                    f"{SOURCES} {uid}", f"it links to {target}, which is not provisioned", "use a provisioned one"
                )
        to_metrics = source.get("jsonData", {}).get("tracesToMetrics", {})
        for tag in to_metrics.get("tags", []):
            if source["type"] == "jaeger" and tag["key"] in NOT_TAGS:
                problem = f"no span has the tag {tag['key']}: Jaeger stores it separately"
                yield Finding(f"{SOURCES} {uid}", problem, "map a copy of it, which the Collector adds")
            elif tag["value"] == "service_name" and tag["key"] not in copies:
                problem = f"the Collector does not copy service.name to {tag['key']} for Jaeger"
                yield Finding(f"{SOURCES} {uid}", problem, "add it to a `resource` processor of that pipeline")
        for query in to_metrics.get("queries", []):
            if error := parse_error(query["query"]):
                yield Finding(f"{SOURCES} {uid}", f"“{query['name']}” does not parse: {error}", "correct the PromQL")
    for uid in sorted(set(sources) - reached):
        yield Finding(
            f"{SOURCES} {uid}", "no other data source links to it", "link a trace, a log record or an exemplar to it"
        )


def _linked_sources(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "datasourceUid":
                yield inner
            else:
                yield from _linked_sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _linked_sources(inner)


def data_sources(root: Path) -> Iterator[dict[str, Any]]:
    """Return the provisioned data sources."""
    for file in sorted((root / SOURCES).glob("*.yaml")):
        yield from yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the panels of a dashboard, including those in rows."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])
