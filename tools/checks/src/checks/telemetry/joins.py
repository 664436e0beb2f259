"""Grafana: exemplars link to traces, spans to log records, and log records to traces."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.findings import Finding

SOURCES = Path("infra/grafana/provisioning/datasources")
DASHBOARDS = Path("infra/grafana/dashboards")
REQUESTS = "http_server_request_duration_seconds_bucket"

Source = Mapping[str, Any]


def check(root: Path) -> Iterator[Finding]:
    """Check the three links, and that panels request exemplars."""
    sources = {
        source["uid"]: source
        for file in sorted((root / SOURCES).glob("*.yaml"))
        for source in yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
    }
    for kind, join in JOINS.items():
        for source in (source for source in sources.values() if source["type"] == kind):
            target, what = join(source.get("jsonData", {}))
            if sources.get(target or "", {}).get("type") != LEADS_TO[kind]:
                yield Finding(f"{SOURCES} {source['uid']}", f"it does not link to {LEADS_TO[kind]}", what)
    yield from _dots(root)


def _from_metrics(data: Source) -> tuple[str | None, str]:
    """Return the link of exemplars: with OTLP, the label `trace_id` has the trace."""
    found = [to for to in data.get("exemplarTraceIdDestinations", []) if to.get("name") == "trace_id"]
    return _first(found), "add exemplarTraceIdDestinations with the name trace_id"


def _from_traces(data: Source) -> tuple[str | None, str]:
    """Return the custom query: Grafana's default searches the id in the line, but OTLP records have it as metadata."""
    by_id = data.get("tracesToLogsV2", {})
    is_right = by_id.get("customQuery") is True and 'trace_id="$${__trace.traceId}"' in by_id.get("query", "")
    return _first([by_id] if is_right else []), "add tracesToLogsV2 with a customQuery by trace_id"


def _from_lines(data: Source) -> tuple[str | None, str]:
    """Return the link by label instead of by a pattern, because the id is structured metadata."""
    wanted = {"matcherType": "label", "matcherRegex": "trace_id", "url": "$${__value.raw}"}
    found = [field for field in data.get("derivedFields", []) if wanted.items() <= field.items()]
    return _first(found), "add a derived field by the label trace_id, whose url is the value"


JOINS: Mapping[str, Callable[[Source], tuple[str | None, str]]] = {
    "prometheus": _from_metrics,
    "jaeger": _from_traces,
    "loki": _from_lines,
}
LEADS_TO = {"prometheus": "jaeger", "jaeger": "loki", "loki": "jaeger"}


def _first(sources: list[Source]) -> str | None:
    return sources[0].get("datasourceUid") if sources else None


def _dots(root: Path) -> Iterator[Finding]:
    """Check that panels of request durations request exemplars in at least one query."""
    for file in sorted((root / DASHBOARDS).glob("*.json")):
        for panel in _panels(json.loads(file.read_text(encoding="utf-8"))):
            targets = panel.get("targets", [])
            has_durations = any(REQUESTS in target.get("expr", "") for target in targets)
            if has_durations and not any(target.get("exemplar") for target in targets):
                yield Finding(
                    f"{file.relative_to(root)} “{panel.get('title')}”",
                    "no exemplar links to a trace",
                    'set "exemplar": true',
                )


def _panels(dashboard: Source) -> Iterator[Source]:
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])
