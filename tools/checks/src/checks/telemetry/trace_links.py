"""Grafana: exemplars link to traces, spans to log records, and log records to traces."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from checks.findings import Finding
from checks.telemetry.dashboards import DASHBOARDS, SOURCES, data_sources, panels

REQUEST_DURATIONS = "http_server_request_duration_seconds_bucket"

Options = Mapping[str, Any]
"""The options of a data source or of one of its links (`jsonData` in Grafana)."""


def check(root: Path) -> Iterator[Finding]:
    """Check the three links, and that panels request exemplars."""
    sources = {source["uid"]: source for source in data_sources(root)}
    for source in sources.values():
        if source["type"] in LINKS:
            find_target, target_type, fix = LINKS[source["type"]]
            target = find_target(source.get("jsonData", {}))
            if sources.get(target or "", {}).get("type") != target_type:
                yield Finding(f"{SOURCES} {source['uid']}", f"it does not link to {target_type}", fix)
    yield from _check_exemplars(root)


def _target_of_exemplars(options: Options) -> str | None:
    """Return the data source of traces. In metrics received by OTLP, the label `trace_id` contains the trace id."""
    found = [link for link in options.get("exemplarTraceIdDestinations", []) if link.get("name") == "trace_id"]
    return _first_target(found)


def _target_of_spans(options: Options) -> str | None:
    """Return the data source of log records.

    The link needs a custom query. Grafana's default query searches for the trace id in the line, but log records
    received by OTLP contain it as metadata.
    """
    link = options.get("tracesToLogsV2", {})
    is_right = link.get("customQuery") is True and 'trace_id="$${__trace.traceId}"' in link.get("query", "")
    return _first_target([link] if is_right else [])


def _target_of_log_records(options: Options) -> str | None:
    """Return the data source of traces. The link needs a label, because the trace id is not in the line."""
    wanted = {"matcherType": "label", "matcherRegex": "trace_id", "url": "$${__value.raw}"}
    found = [field for field in options.get("derivedFields", []) if wanted.items() <= field.items()]
    return _first_target(found)


LINKS: Mapping[str, tuple[Callable[[Options], str | None], str, str]] = {
    "prometheus": (_target_of_exemplars, "jaeger", "add exemplarTraceIdDestinations with the name trace_id"),
    "jaeger": (_target_of_spans, "loki", "add tracesToLogsV2 with a customQuery by trace_id"),
    "loki": (_target_of_log_records, "jaeger", "add a derived field by the label trace_id, whose url is the value"),
}
"""For each type of data source: the function that finds the linked data source, its required type, and the fix."""


def _first_target(links: list[Options]) -> str | None:
    return links[0].get("datasourceUid") if links else None


def _check_exemplars(root: Path) -> Iterator[Finding]:
    """Check that panels of request durations request exemplars in at least one query."""
    for file in sorted((root / DASHBOARDS).glob("*.json")):
        for panel in panels(json.loads(file.read_text(encoding="utf-8"))):
            targets = panel.get("targets", [])
            has_durations = any(REQUEST_DURATIONS in target.get("expr", "") for target in targets)
            if has_durations and not any(target.get("exemplar") for target in targets):
                yield Finding(
                    f"{file.relative_to(root)} “{panel.get('title')}”",
                    "no exemplar links to a trace",
                    'set "exemplar": true',
                )
