"""The service map: services, channels and stores of a time window, with rates, errors and durations of their calls.

It is computed from the stored spans on each request. Each span is decoded once and keeps its role: 12,000 spans take
about 200 ms at first and then 50 ms. No other data is stored, so the limits of the trace store apply.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from observatory.traces import Span, TraceStore

Json: TypeAlias = "dict[str, Any]"

_MIN_WINDOW_NS = 1_000_000_000  # the rate of a shorter window would be inaccurate
_ENTRY_KINDS = frozenset({"server", "consumer"})


class Node(NamedTuple):
    """`kind` is outside, service, channel, store or host."""

    kind: str
    name: str


OUTSIDE = Node("outside", "outside")


class Hop(NamedTuple):
    """One call or message from one node to another.

    `duration_ns` is None if it was not measured. `waited_ns` is the time in a channel, None without a channel.
    """

    source: Node
    target: Node
    duration_ns: int | None
    failed: bool
    waited_ns: int | None = None


@dataclass(slots=True)
class _Figures:
    calls: int = 0
    errors: int = 0
    durations: list[int] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)

    def add(self, duration_ns: int | None, *, failed: bool, waited_ns: int | None = None) -> None:
        self.calls += 1
        self.errors += failed
        if duration_ns is not None:
            self.durations.append(duration_ns)
        if waited_ns is not None:
            self.waits.append(waited_ns)

    def json(self) -> Json:
        return {"calls": self.calls, "errors": self.errors} | {
            "p50_us": _percentile_us(self.durations, 50),
            "p95_us": _percentile_us(self.durations, 95),
            "waited_p50_us": _percentile_us(self.waits, 50),
            "waited_p95_us": _percentile_us(self.waits, 95),
        }


def service_map(traces: TraceStore, *, lookback_ns: int) -> Json:
    """Return `{seconds, nodes, edges}` of the spans that started within `lookback_ns`, or of all spans if it is 0.

    Divide the counts by `seconds` for rates. The window begins at the first span, so that the rates of a stack that
    just started are correct. The figures of a node count incoming calls; its `calls` may be 0.
    """
    now_ns = time.time_ns()
    since_ns = now_ns - lookback_ns if lookback_ns else 0
    nodes: dict[Node, _Figures] = defaultdict(_Figures)
    edges: dict[tuple[Node, Node], _Figures] = defaultdict(_Figures)
    first_ns = now_ns
    hosts = {span.role.peer: span.service for span in traces.spans() if span.role.kind == "server" and span.role.peer}
    for spans in traces.newest_first():
        recent = [span for span in spans if span.start_ns >= since_ns]
        first_ns = min(first_ns, *(span.start_ns for span in recent)) if recent else first_ns
        for span in recent:
            figures = nodes[Node("service", span.service)]
            if span.role.kind in _ENTRY_KINDS:
                figures.add(span.duration_ns, failed=span.failed)
        for hop in hops(spans, recent, hosts):
            edges[hop.source, hop.target].add(hop.duration_ns, failed=hop.failed, waited_ns=hop.waited_ns)
            for end in (hop.source, hop.target):  # both are on the map, also without incoming calls
                nodes.setdefault(end, _Figures())
    return {
        "seconds": max(_MIN_WINDOW_NS, now_ns - first_ns) / 1e9,
        "nodes": [node._asdict() | figures.json() for node, figures in sorted(nodes.items())],
        "edges": [
            {"source": source._asdict(), "target": target._asdict()} | figures.json()
            for (source, target), figures in sorted(edges.items())
        ],
    }


def hops(trace: Sequence[Span], selection: Iterable[Span], hosts: Mapping[str, str]) -> Iterator[Hop]:
    """Yield the hops of the spans in `selection`, which belong to `trace`; `hosts` has the service of each host.

    A call between services is counted once, from the caller's span, because only the caller records a timeout.
    """
    by_id = {span.span_id: span for span in trace}
    responded = {
        span.parent_id: span
        for span in trace
        if span.parent_id in by_id and by_id[span.parent_id].service != span.service
    }
    for span in selection:
        parent = by_id.get(span.parent_id)
        match span.role.kind:
            case "client":
                yield from _call(span, responded.get(span.span_id), hosts)
            case "producer" if span.role.peer:
                yield _hop(span, _service(span), _peer(span))
            case "consumer" if span.role.peer:
                yield from _consumption(span, parent)
            case kind:
                yield from _entry(span, parent, is_request=kind == "server")


def _call(span: Span, response: Span | None, hosts: Mapping[str, str]) -> Iterator[Hop]:
    target = _service(response) if response else _peer(span)
    if target.kind == "host" and target.name in hosts:
        target = Node("service", hosts[target.name])
    if target.name and target != _service(span):
        yield _hop(span, _service(span), target)


def _consumption(span: Span, parent: Span | None) -> Iterator[Hop]:
    """Yield the hop out of the channel, and the hop into it if that has no PRODUCER span, as for jobs."""
    waited_ns = max(0, span.start_ns - parent.end_ns) if parent else None
    yield _hop(span, _peer(span), _service(span), waited_ns=waited_ns)
    if parent and not (parent.role.kind == "producer" and parent.role.peer == span.role.peer):
        yield Hop(_service(parent), _peer(span), None, failed=False)


def _entry(span: Span, parent: Span | None, *, is_request: bool) -> Iterator[Hop]:
    if parent is None:
        if is_request:
            yield _hop(span, OUTSIDE, _service(span))
    elif parent.service != span.service and parent.role.kind != "client":
        yield _hop(span, _service(parent), _service(span))


def _hop(span: Span, source: Node, target: Node, *, waited_ns: int | None = None) -> Hop:
    return Hop(source, target, span.duration_ns, span.failed, waited_ns)


def _service(span: Span) -> Node:
    return Node("service", span.service)


def _peer(span: Span) -> Node:
    return Node(span.role.peer_kind, span.role.peer)


def _percentile_us(values_ns: list[int], percent: int) -> int | None:
    """Return the percentile by nearest rank; None without values."""
    if not values_ns:
        return None
    values_ns.sort()
    rank = -(-len(values_ns) * percent // 100)
    return values_ns[rank - 1] // 1_000
