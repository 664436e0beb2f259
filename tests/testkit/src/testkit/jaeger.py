"""Traces read through Jaeger's query API."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

_NONE = 404


@dataclass(frozen=True)
class StoredSpan:
    """One span as Jaeger returns it. `parent` is its CHILD_OF reference, or else its first reference in the trace.

    Jaeger returns a parent that the span also links to only as a link.
    """

    span_id: str
    service: str
    operation: str
    parent: str | None
    links: list[str]
    tags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredTrace:
    """The spans of a trace that Jaeger has stored."""

    spans: dict[str, StoredSpan]

    @property
    def services(self) -> set[str]:
        """Return the services with at least one span."""
        return {span.service for span in self.spans.values()}

    @property
    def roots(self) -> list[StoredSpan]:
        """Return the spans whose parent is not in the trace: one span if the trace is complete."""
        return [span for span in self.spans.values() if span.parent not in self.spans]

    def named(self, operation: str) -> list[StoredSpan]:
        """Return the spans of this operation."""
        return [span for span in self.spans.values() if span.operation == operation]

    def tree(self) -> str:
        """Return a line `service operation` per span, indented below its parent; siblings are sorted by line."""
        return "\n".join(self._lines(None, "")) + "\n"

    def _lines(self, parent: str | None, indent: str) -> Iterator[str]:
        below = [span for span in self.spans.values() if (span.parent if span.parent in self.spans else None) == parent]
        for span in sorted(below, key=lambda span: (span.service, span.operation)):
            yield f"{indent}{span.service} {span.operation}"
            yield from self._lines(span.span_id, indent + "  ")

    def path_to_root(self, span: StoredSpan) -> list[str]:
        """Return `service operation` of each span from this one up to the root."""
        path = [f"{span.service} {span.operation}"]
        while span.parent in self.spans:
            span = self.spans[span.parent]
            path.append(f"{span.service} {span.operation}")
        return path


async def stored_trace(client: httpx.AsyncClient, trace_id: str) -> StoredTrace:
    """Return the stored trace, empty if Jaeger has none of its spans yet. `client` has Jaeger's base URL."""
    response = await client.get(f"/api/traces/{trace_id}")
    if response.status_code == _NONE:
        return StoredTrace(spans={})
    [data] = response.raise_for_status().json()["data"]
    services = {name: process["serviceName"] for name, process in data["processes"].items()}
    return StoredTrace(spans={raw["spanID"]: _span(raw, services) for raw in data["spans"]})


def _span(raw: dict[str, Any], services: dict[str, str]) -> StoredSpan:
    within = [ref for ref in raw["references"] if ref["traceID"] == raw["traceID"]]
    parents = [ref["spanID"] for ref in sorted(within, key=lambda ref: ref["refType"] != "CHILD_OF")]
    return StoredSpan(
        span_id=raw["spanID"],
        service=services[raw["processID"]],
        operation=raw["operationName"],
        parent=parents[0] if parents else None,
        links=[ref["spanID"] for ref in raw["references"] if ref["refType"] == "FOLLOWS_FROM"],
        tags={tag["key"]: tag["value"] for tag in raw["tags"]},
    )
