"""From Jaeger's JSON to a tree of spans. Times are microseconds since the epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from console.about import about, again
from console.logs import LogLine, events_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is shown of one span. `failure` is its error's description, "" when it went well.

    One that is `lost` is known from others alone, and its times are a guess.
    """

    id: str
    service: str
    operation: str
    about: str  # what the operation's name leaves out
    start: int
    end: int
    parent_id: str  # "" for a root
    kind: str = ""
    links: Sequence[str] = ()  # spans of this trace that it follows from without being their child
    again: str = ""  # what says that it is no first try
    failure: str = ""
    events: Sequence[LogLine] = ()
    lost: bool = False

    @classmethod
    def from_jaeger(cls, span: Mapping[str, Any], processes: Mapping[str, Any]) -> Self:
        """Read a span and its process."""
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        references = [item for item in span["references"] if item["traceID"] == span["traceID"]]
        # A parent that is linked to as well is a link alone to Jaeger, which takes the first reference for the parent.
        parents = [item["spanID"] for item in sorted(references, key=lambda item: item["refType"] != "CHILD_OF")]
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
            kind=str(tags.get("span.kind", "")),
            links=[item["spanID"] for item in references if item["refType"] == "FOLLOWS_FROM"],
            again=again(tags),
            failure=_failure(tags) if failed else "",
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
    """A trace. `roots` holds the spans without a parent, and what stands for a parent that has not come."""

    trace_id: str
    roots: tuple[Node, ...]
    missing_parents: int

    @classmethod
    def from_jaeger(cls, trace: Mapping[str, Any]) -> Self:
        """Build it from one item of the `data` of /api/traces/{id}, which has at least one span."""
        told = [Span.from_jaeger(span, trace["processes"]) for span in trace["spans"]]
        parents = {span.parent_id for span in told}
        spans = [*told, *_lost(told)]
        nodes = {span.id: Node(span) for span in sorted(spans, key=lambda span: (span.start, not span.lost, -span.end))}
        roots = [node for node in nodes.values() if not _attached(node, nodes)]
        missing = sum(span.lost and span.id in parents for span in spans)
        return cls(trace["traceID"], tuple(roots), missing)

    def walk(self) -> Iterator[Node]:
        """Yield every node, parents before their children."""
        waiting = list(reversed(self.roots))
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def spans(self) -> Sequence[Span]:
        """Return every span that has come, parents before their children."""
        return [node.span for node in self.walk() if not node.span.lost]

    def lost(self) -> Sequence[Span]:
        """Return those that have not come and that others name."""
        return [node.span for node in self.walk() if node.span.lost]

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


def _failure(tags: Mapping[str, Any]) -> str:
    """What went wrong, in the span's own words or by the names it has for it, and whether somebody wanted it."""
    named = " ".join(str(tags[name]) for name in ("error.type", "hopline.problem") if name in tags)
    wanted = f" (a fault switch: {tags['hopline.fault']})" if "hopline.fault" in tags else ""
    return str(tags.get("otel.status_description") or named or "failed") + wanted


def _attached(node: Node, nodes: Mapping[str, Node]) -> bool:
    """Hang a node below its parent, unless that is not there or would close a circle, which broken data can."""
    parent = ancestor = nodes.get(node.span.parent_id)
    while ancestor is not None and ancestor is not node:
        ancestor = nodes.get(ancestor.span.parent_id) if ancestor.attached else None
    if parent is None or ancestor is node:
        return False
    parent.children.append(node)
    node.attached = True
    node.waited = 0 if parent.span.lost or node.span.lost else max(0, node.span.start - parent.span.end)
    return True


def _lost(told: Sequence[Span]) -> Iterator[Span]:
    """Yield what stands for spans that others name and that have not come: parents, and what a later try links to.

    A later try did the same for the same reason, so it tells what the lost one was and where it belongs. Without one,
    all that is known is that children are there. Where nobody is the root, a request came from outside, and what
    called it is not ours to tell.
    """
    come = {span.id for span in told}
    if all(span.parent_id for span in told):
        come |= {span.parent_id for span in told if span.kind == "server"}
    children = {span.parent_id: span for span in reversed(told) if span.parent_id}
    tries = {link: span for span in told for link in span.links if link != span.parent_id}
    for span_id in (children | tries).keys() - come:
        later, child = tries.get(span_id), children.get(span_id)
        start = min(span.start for span in (later, child) if span)
        if later:
            yield replace(
                later, id=span_id, start=start, end=start, links=(), again="", failure="", events=(), lost=True
            )
        elif child:
            yield Span(
                id=span_id,
                service="unknown",
                operation="span",
                about="",
                start=start,
                end=start,
                parent_id="",
                lost=True,
            )
