"""Traces read through Jaeger's query API."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from console.tree import parent_span_id
from testkit.waiting import eventually


@dataclass(frozen=True)
class StoredSpan:
    """One span as Jaeger returns it.

    `links` has the ids of all spans that Jaeger returns with the type FOLLOWS_FROM, also of other traces. The parent is
    one of them if Jaeger returns it with this type.
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
    def roots(self) -> list[StoredSpan]:
        """Return the spans without a parent in the trace. A complete trace has one such span."""
        return [span for span in self.spans.values() if span.parent not in self.spans]

    def named(self, operation: str) -> list[StoredSpan]:
        """Return the spans of this operation."""
        return [span for span in self.spans.values() if span.operation == operation]

    def tree(self) -> str:
        """Return a line `service operation` per span, indented below its parent; siblings are sorted by their lines."""
        return "".join(f"{line}\n" for lines in self._subtrees(None) for line in lines)

    def _subtrees(self, parent: str | None) -> list[list[str]]:
        """Return the lines of each span below `parent` and of the spans below it."""
        below = [span for span in self.spans.values() if (span.parent if span.parent in self.spans else None) == parent]
        return sorted(
            [f"{span.service} {span.operation}"]
            + [f"  {line}" for lines in self._subtrees(span.span_id) for line in lines]
            for span in below
        )


async def get_stored_trace(client: httpx.AsyncClient, trace_id: str) -> StoredTrace:
    """Return the stored trace, empty if Jaeger has none of its spans yet. `client` has Jaeger's base URL."""
    response = await client.get(f"/api/traces/{trace_id}")
    if response.status_code == HTTPStatus.NOT_FOUND:
        return StoredTrace(spans={})
    [data] = response.raise_for_status().json()["data"]
    services = {name: process["serviceName"] for name, process in data["processes"].items()}
    return StoredTrace(spans={span["spanID"]: _stored_span(span, services) for span in data["spans"]})


async def wait_for_tree(client: httpx.AsyncClient, trace_id: str, tree: str) -> StoredTrace:
    """Wait until the stored trace has this `tree()`, and return it."""

    async def has_tree() -> StoredTrace:
        trace = await get_stored_trace(client, trace_id)
        assert trace.tree() == tree, trace.tree()
        return trace

    return await eventually(has_tree)


def _stored_span(span: dict[str, Any], services: dict[str, str]) -> StoredSpan:
    return StoredSpan(
        span_id=span["spanID"],
        service=services[span["processID"]],
        operation=span["operationName"],
        parent=parent_span_id(span),
        links=[reference["spanID"] for reference in span["references"] if reference["refType"] == "FOLLOWS_FROM"],
        tags={tag["key"]: tag["value"] for tag in span["tags"]},
    )
