"""Builds a tree of spans from Jaeger's JSON. Times are microseconds since the epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from console.logs import LogRecord, events_of
from console.span_details import find_detail, find_repeat_reason


def parent_span_id(span: Mapping[str, Any]) -> str | None:
    """Return the id of the parent of a span in Jaeger's JSON.

    The parent is the reference of type CHILD_OF. If a span also links to its parent, Jaeger returns only the type
    FOLLOWS_FROM for it, before the other links. So without CHILD_OF the parent is the first reference in the trace.
    """
    references = [item for item in span["references"] if item["traceID"] == span["traceID"]]
    references.sort(key=lambda item: item["refType"] != "CHILD_OF")  # stable
    return str(references[0]["spanID"]) if references else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span. `failure` describes its error, "" if it succeeded.

    A `lost` span was not received. It is reconstructed from other spans, and its times are estimates.
    """

    id: str
    service: str
    operation: str
    detail: str  # what the operation's name omits
    start: int
    end: int
    parent_id: str  # "" for a root
    kind: str = ""
    links: Sequence[str] = ()  # linked spans of this trace; may include its parent
    repeat_reason: str = ""  # why it is a repeated attempt
    failure: str = ""
    events: Sequence[LogRecord] = ()
    lost: bool = False

    @classmethod
    def from_jaeger(cls, span: Mapping[str, Any], processes: Mapping[str, Any]) -> Self:
        """Build a span from Jaeger's span and processes."""
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        references = [item for item in span["references"] if item["traceID"] == span["traceID"]]
        failed = tags.get("error") in (True, "true")
        service = processes[span["processID"]]["serviceName"]
        return cls(
            id=span["spanID"],
            service=service,
            operation=span["operationName"],
            detail=find_detail(span["operationName"], tags),
            start=span["startTime"],
            end=span["startTime"] + span["duration"],
            parent_id=parent_span_id(span) or "",
            kind=str(tags.get("span.kind", "")),
            links=[item["spanID"] for item in references if item["refType"] == "FOLLOWS_FROM"],
            repeat_reason=find_repeat_reason(tags),
            failure=_failure(tags) if failed else "",
            events=events_of(span, service),
        )

    @property
    def duration(self) -> int:
        """Return the duration in microseconds."""
        return self.end - self.start


@dataclass(slots=True)
class Node:
    """A span with its children by start time. `waited` is the time between its parent's end and its start."""

    span: Span
    waited: int = 0
    children: "list[Node]" = field(default_factory=list)
    attached: bool = False  # whether its parent's children contain it


@dataclass(frozen=True, slots=True)
class Tree:
    """A trace. `roots` are the spans without a parent and the reconstructed parents."""

    trace_id: str
    roots: tuple[Node, ...]
    missing_parents: int

    @classmethod
    def from_jaeger(cls, trace: Mapping[str, Any]) -> Self:
        """Build a tree from one item of `data` of /api/traces/{id}, with at least one span."""
        reported = [Span.from_jaeger(span, trace["processes"]) for span in trace["spans"]]
        parents = {span.parent_id for span in reported}
        spans = [*reported, *_reconstruct_lost_spans(reported)]
        nodes = {span.id: Node(span) for span in sorted(spans, key=lambda span: (span.start, not span.lost, -span.end))}
        roots = [node for node in nodes.values() if not _attach_to_parent(node, nodes)]
        missing = sum(span.lost and span.id in parents for span in spans)
        return cls(trace["traceID"], tuple(roots), missing)

    def walk(self) -> Iterator[Node]:
        """Yield all nodes, parents before their children."""
        waiting = list(reversed(self.roots))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def spans(self) -> Sequence[Span]:
        """Return the received spans, parents before their children."""
        return [node.span for node in self.walk() if not node.span.lost]

    def lost(self) -> Sequence[Span]:
        """Return the lost spans."""
        return [node.span for node in self.walk() if node.span.lost]

    def services(self) -> list[str]:
        """Return the services of the trace in the order of their first spans."""
        return list(dict.fromkeys(span.service for span in sorted(self.spans(), key=lambda span: span.start)))

    @property
    def start(self) -> int:
        """Start of the first span."""
        return min(span.start for span in self.spans())

    @property
    def end(self) -> int:
        """End of the last span."""
        return max(span.end for span in self.spans())

    @property
    def is_whole(self) -> bool:
        """Whether the trace is connected: it has one root, and no parent is missing."""
        return len(self.roots) == 1 and self.missing_parents == 0


def _failure(tags: Mapping[str, Any]) -> str:
    """Return the span's status description or error names, and whether a fault switch injected the error."""
    named = " ".join(str(tags[name]) for name in ("error.type", "hopline.problem") if name in tags)
    injected = f" (a fault switch: {tags['hopline.fault']})" if "hopline.fault" in tags else ""
    return str(tags.get("otel.status_description") or named or "failed") + injected


def _attach_to_parent(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Add a node to its parent's children, unless the parent is missing or invalid data would create a cycle."""
    parent = ancestor = nodes.get(node.span.parent_id)
    while ancestor is not None and ancestor is not node:
        ancestor = nodes.get(ancestor.span.parent_id) if ancestor.attached else None
    if parent is None or ancestor is node:
        return False
    parent.children.append(node)
    node.attached = True
    node.waited = 0 if parent.span.lost or node.span.lost else max(0, node.span.start - parent.span.end)
    return True


def _reconstruct_lost_spans(reported: Sequence[Span]) -> Iterator[Span]:
    """Yield replacements for spans that were not received but are the parent of other spans or linked by them.

    A retry links to the lost attempt and has the same operation and parent, so these are copied from the retry.
    Otherwise only the span's id is known, from its children. A lost span starts with its earliest child or retry. If no
    span is a root, the requests to the service of the first server span came from outside, and their callers are not
    lost spans.
    """
    known = {span.id for span in reported}
    servers = [span for span in reported if span.kind == "server"]
    if servers and all(span.parent_id for span in reported):
        entry = min(servers, key=lambda span: span.start).service
        known |= {span.parent_id for span in servers if span.service == entry}
    children = {span.parent_id: span for span in sorted(reported, key=lambda span: -span.start) if span.parent_id}
    retries = {link: span for span in reported for link in span.links if link != span.parent_id}
    for span_id in sorted((children | retries).keys() - known):
        retry, child = retries.get(span_id), children.get(span_id)
        start = min(span.start for span in (retry, child) if span)
        if retry:
            yield replace(
                retry, id=span_id, start=start, end=start, links=(), repeat_reason="", failure="", events=(), lost=True
            )
        elif child:
            yield Span(
                id=span_id,
                service="unknown",
                operation="span",
                detail="",
                start=start,
                end=start,
                parent_id="",
                lost=True,
            )
