"""From Jaeger's JSON to a tree of spans. Times are microseconds since the epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from console.about import about
from console.logs import LogLine, events_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is shown of one span. `failure` is its error's description, "" when it went well."""

    id: str
    service: str
    operation: str
    about: str  # what the operation's name leaves out
    start: int
    end: int
    parent_id: str  # "" for a root
    links: int  # how many spans it follows from without being their child
    failure: str
    events: Sequence[LogLine]

    @classmethod
    def from_jaeger(cls, span: Mapping[str, Any], processes: Mapping[str, Any]) -> Self:
        """Read a span and its process."""
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        references = span["references"]
        parents = [item["spanID"] for item in references if item["refType"] == "CHILD_OF"]
        failed = tags.get("error") in (True, "true")
        service = processes[span["processID"]]["serviceName"]
        return cls(
            id=span["spanID"],
            service=service,
            operation=span["operationName"],
            about=about(span["operationName"], tags),
            start=span["startTime"],
            end=span["startTime"] + span["duration"],
            parent_id=parents[0] if parents else "",
            links=sum(item["refType"] == "FOLLOWS_FROM" for item in references),
            failure=str(tags.get("otel.status_description") or "failed") if failed else "",
            events=events_of(span, service),
        )

    @property
    def duration(self) -> int:
        """How long it took."""
        return self.end - self.start


@dataclass(slots=True)
class Node:
    """A span with its children by start time. `waited` is the time between its parent's end and its start."""

    span: Span
    waited: int = 0
    children: "list[Node]" = field(default_factory=list)
    attached: bool = False  # to its parent


@dataclass(frozen=True, slots=True)
class Tree:
    """A trace. `roots` holds the spans without a parent and those whose parent is not (yet) there."""

    trace_id: str
    roots: tuple[Node, ...]
    missing_parents: int

    @classmethod
    def from_jaeger(cls, trace: Mapping[str, Any]) -> Self:
        """Build it from one item of the `data` of /api/traces/{id}, which has at least one span."""
        spans = [Span.from_jaeger(span, trace["processes"]) for span in trace["spans"]]
        nodes = {span.id: Node(span) for span in sorted(spans, key=lambda span: (span.start, -span.end))}
        roots = [node for node in nodes.values() if not _attached(node, nodes)]
        missing = sum(bool(root.span.parent_id) for root in roots)
        return cls(trace["traceID"], tuple(roots), missing)

    def walk(self) -> Iterator[Node]:
        """Yield every node, parents before their children."""
        waiting = list(reversed(self.roots))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def spans(self) -> Sequence[Span]:
        """Return every span, parents before their children."""
        return [node.span for node in self.walk()]

    def services(self) -> list[str]:
        """Return the services that took part, in the order they came in."""
        return list(dict.fromkeys(span.service for span in sorted(self.spans(), key=lambda span: span.start)))

    @property
    def start(self) -> int:
        """When the first span started."""
        return min(span.start for span in self.spans())

    @property
    def end(self) -> int:
        """When the last span ended."""
        return max(span.end for span in self.spans())

    @property
    def is_whole(self) -> bool:
        """Tell whether it hangs together: one root, and nobody's parent is missing."""
        return len(self.roots) == 1 and self.missing_parents == 0


def _attached(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Hang a node below its parent, unless that is not there or would close a circle, which broken data can."""
    parent = ancestor = nodes.get(node.span.parent_id)
    while ancestor is not None and ancestor is not node:
        ancestor = nodes.get(ancestor.span.parent_id) if ancestor.attached else None
    if parent is None or ancestor is node:
        return False
    parent.children.append(node)
    node.attached = True
    node.waited = max(0, node.span.start - parent.span.end)
    return True
