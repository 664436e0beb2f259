"""Spans in Jaeger's JSON, and trees of them."""

from typing import Any

from console.tree import Tree


def span(
    span_id: str,
    parent: str = "",
    *links: str,
    start: int = 0,
    service: str = "orders",
    duration: int = 10,
    kind: str = "",
) -> dict[str, Any]:
    """Return a span in Jaeger's JSON. Times are microseconds."""
    references = [{"refType": "CHILD_OF", "traceID": "t", "spanID": parent}] if parent else []
    references += [{"refType": "FOLLOWS_FROM", "traceID": "t", "spanID": link} for link in links]
    return {
        "traceID": "t",
        "spanID": span_id,
        "operationName": f"op {span_id}",
        "references": references,
        "startTime": start,
        "duration": duration,
        "tags": [{"key": "span.kind", "value": kind}],
        "processID": service,
    }


def tree(*spans: dict[str, Any]) -> Tree:
    """Return the tree of a trace of these spans."""
    processes = {item["processID"]: {"serviceName": item["processID"]} for item in spans}
    return Tree.from_jaeger({"traceID": "t", "spans": list(spans), "processes": processes})
