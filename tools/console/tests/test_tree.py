"""The tree of a trace from Jaeger's JSON, and how the console prints it."""

import io
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from console.demo import EXPECTED_SERVICES, has_expected_spans
from console.drawing import format_duration, print_tree
from console.span_details import find_detail, find_repeat_reason
from console.stack import Stack
from console.timeline import Timeline
from console.tree import Node, Tree
from console.waiting import CompletionDetector

INTERVALS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)).map(lambda pair: (pair[0], pair[0] + pair[1])), min_size=1
)


def span(
    span_id: str, parent: str = "", *links: str, start: int = 0, service: str = "orders", took: int = 10, kind: str = ""
) -> dict[str, Any]:
    references = [{"refType": "CHILD_OF", "traceID": "t", "spanID": parent}] if parent else []
    references += [{"refType": "FOLLOWS_FROM", "traceID": "t", "spanID": link} for link in links]
    return {
        "traceID": "t",
        "spanID": span_id,
        "operationName": f"op {span_id}",
        "references": references,
        "startTime": start,
        "duration": took,
        "tags": [{"key": "span.kind", "value": kind}],
        "processID": service,
    }


def tree(*spans: dict[str, Any]) -> Tree:
    processes = {item["processID"]: {"serviceName": item["processID"]} for item in spans}
    return Tree.from_jaeger({"traceID": "t", "spans": list(spans), "processes": processes})


def shape(built: Tree) -> list[str]:
    """Return a line for each span: its id, indented below its parent."""

    def lines(nodes: Sequence[Node], indent: str) -> Iterator[str]:
        for node in nodes:
            yield f"{indent}{node.span.id}{', lost' if node.span.lost else ''}"
            yield from lines(node.children, indent + "  ")

    return list(lines(built.roots, ""))


def draw(built: Tree, *, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    print_tree(built, console)
    return console.export_text().splitlines()


class TestTree:
    def test_parent_is_the_first_link_when_jaeger_omits_child_of(self) -> None:
        built = tree(span("root"), span("first", "root"), span("again", "", "root", "first", start=5))
        assert shape(built) == ["root", "  first", "  again"]

    def test_parent_is_found_when_a_link_precedes_it(self) -> None:
        again = span("again", "root", "first", start=5)
        again["references"].reverse()
        assert shape(tree(span("root"), span("first", "root"), again)) == ["root", "  first", "  again"]

    def test_link_is_ignored_when_it_leads_to_another_trace(self) -> None:
        root = span("root") | {"references": [{"refType": "FOLLOWS_FROM", "traceID": "u", "spanID": "x"}]}
        built = tree(root)
        assert (shape(built), built.is_whole, built.spans()[0].links) == (["root"], True, [])

    def test_longer_span_comes_first_when_both_start_together(self) -> None:
        built = tree(span("short", "root", took=1), span("long", "root", took=5), span("root"))
        assert shape(built) == ["root", "  long", "  short"]

    def test_children_are_sorted_by_start_and_have_their_wait(self) -> None:
        built = tree(span("late", "root", start=50), span("early", "root", start=5), span("root", took=20))

        assert [item.span.id for item in built.walk()] == ["root", "early", "late"]
        assert [item.waited for item in built.walk()] == [0, 0, 30]
        assert (built.start, built.end) == (0, 60)
        assert built.is_whole

    def test_tree_is_not_whole_when_a_parent_is_missing(self) -> None:
        built = tree(span("root"), span("child", "gone", start=1))

        assert (len(built.roots), built.missing_parents, built.is_whole) == (2, 1, False)
        assert shape(built) == ["root", "gone, lost", "  child"]

    def test_tree_is_not_whole_when_it_has_two_roots(self) -> None:
        built = tree(span("root"), span("other", start=1))

        assert (len(built.roots), built.missing_parents, built.is_whole) == (2, 0, False)

    def test_lost_span_has_the_parent_of_a_repeated_attempt(self) -> None:
        again = span("again", "root", "root", "dead", start=10_000)
        built = tree(span("root"), again, span("below", "dead", start=500), span("early", "root", start=5))

        assert shape(built) == ["root", "  early", "  dead, lost", "    below", "  again"]
        assert built.lost()[0].operation == "op again"
        assert (built.missing_parents, built.is_whole, len(built.spans())) == (1, False, 4)

    def test_lost_span_starts_with_its_earliest_child_when_a_later_one_comes_first(self) -> None:
        below = [span("late", "dead", start=50), span("early", "dead", start=5)]
        built = tree(span("root"), *below, span("between", "root", start=20), span("again", "root", "dead", start=90))

        assert shape(built) == ["root", "  dead, lost", "    early", "    late", "  between", "  again"]

    def test_lost_span_and_its_children_have_no_wait(self) -> None:
        built = tree(
            span("root"),
            span("again", "root", "dead", start=50),
            span("early", "gone", start=60),
            span("late", "gone", start=90),
        )

        waits = {node.span.id: node.waited for node in built.walk()}
        assert waits == {"root": 0, "dead": 0, "again": 40, "gone": 0, "early": 0, "late": 0}

    def test_parent_is_lost_when_there_is_no_root_and_no_server_span(self) -> None:
        assert shape(tree(span("below", "gone"))) == ["gone, lost", "  below"]

    def test_lost_span_is_shown_when_it_has_no_children(self) -> None:
        assert shape(tree(span("root"), span("again", "root", "dead", start=9))) == ["root", "  dead, lost", "  again"]

    def test_tree_is_whole_when_the_request_came_from_outside(self) -> None:
        built = tree(span("served", "browser's", kind="server"), span("below", "served", start=1, kind="server"))

        assert (shape(built), built.is_whole) == (["served", "  below"], True)

    def test_inner_caller_is_lost_when_the_request_came_from_outside(self) -> None:
        first = span("served", "browser's", service="gateway", kind="server")
        second = span("also served", "browser's other", start=5, service="gateway", kind="server")
        built = tree(first, second, span("below", "call", start=2, service="orders", kind="server"))

        assert shape(built) == ["served", "call, lost", "  below", "also served"]

    def test_lost_spans_with_the_same_start_are_sorted_by_id(self) -> None:
        ids = [f"lost{number}" for number in range(8)]
        built = tree(span("root"), *(span(f"child of {own}", own, start=5) for own in reversed(ids)))

        assert [item.id for item in built.lost()] == ids

    def test_repeated_attempt_is_a_child_of_its_lost_parent(self) -> None:
        built = tree(span("root"), span("again", "gone", "gone", start=9))

        assert shape(built) == ["root", "gone, lost", "  again"]
        assert [lost.service for lost in built.lost()] == ["unknown"]

    def test_services_are_in_the_order_of_their_first_spans(self) -> None:
        built = tree(
            span("a", service="gateway"),
            span("b", "a", start=5, service="users"),
            span("c", "a", start=2, service="orders"),
        )

        assert built.services() == ["gateway", "orders", "users"]

    @given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.randoms())
    def test_every_span_is_shown_once_for_any_parents(self, parents: list[int], random: Any) -> None:
        spans = [span(f"s{own}", f"s{parent}", start=random.randrange(9)) for own, parent in enumerate(parents)]

        shown = [item.id for item in tree(*spans).spans()]

        assert sorted(shown) == sorted(item["spanID"] for item in spans)


class TestDrawing:
    def test_chain_may_be_deeper_than_the_recursion_limit(self) -> None:
        depth = sys.getrecursionlimit() + 200
        built = tree(span("s0"), *(span(f"s{own}", f"s{own - 1}", start=own) for own in range(1, depth)))
        [*_, last] = draw(built, width=3 * depth)
        assert last.strip().startswith(f"└╴orders op s{depth - 1} ")

    def test_bars_are_aligned_when_a_name_has_wide_characters(self) -> None:
        wide = span("wide", "root") | {"operationName": "注文を出荷する"}
        [root, child] = draw(tree(span("root"), wide), width=100)[3:]
        assert cell_len(root[: root.index("█")]) == cell_len(child[: child.index("█")])

    def test_connectors_show_siblings_and_roots(self) -> None:
        built = tree(
            span("root"),
            span("first", "root", start=1),
            span("below", "first", start=2),
            span("last", "root", start=3),
            span("other", start=4),
        )
        assert [line.split(" op ")[0] for line in draw(built, width=60)[2:]] == [
            "├╴orders",
            "│ ├╴orders",
            "│ │ └╴orders",
            "│ └╴orders",
            "└╴orders",
        ]


class TestTimeline:
    @given(INTERVALS)
    @example([(0, 0), (2**27, 2**27)])
    def test_order_of_times_is_preserved(self, intervals: list[tuple[int, int]]) -> None:
        line = Timeline(intervals)
        times = sorted(time for interval in intervals for time in interval)

        places = [line.at(time) for time in times]

        assert all(earlier <= later + 1e-9 for earlier, later in pairwise(places))
        assert 0.0 <= places[0] <= places[-1] <= 1.0 + 1e-9
        assert line.at(times[0] - 1) == places[0]

    def test_only_long_waits_are_folded(self) -> None:
        line = Timeline([(0, 50), (55, 100), (1_000_100, 1_000_200)])

        (fold,) = line.folds()
        assert (fold.start, fold.end) == (100, 1_000_100)
        assert fold.right - fold.left < 0.05
        assert line.at(50) == pytest.approx(50 / (200 + 0.04 * 195))

    def test_wait_is_not_folded_when_a_longer_span_covers_it(self) -> None:
        assert not Timeline([(0, 100), (10, 20), (105, 110)]).folds()

    def test_timeline_has_one_position_when_there_is_no_duration(self) -> None:
        assert Timeline([(5, 5)]).at(5) == 0.0


class TestCompletionDetector:
    def test_trace_is_complete_when_it_is_whole_and_stops_growing(self) -> None:
        detector = CompletionDetector(lambda tree: tree.is_whole, 2.0)
        small, grown = tree(span("root")), tree(span("root"), span("child", "root"))
        torn = tree(span("root"), span("child", "root"), span("lost", "gone"))

        assert not detector.record(small, 10.0)
        assert not detector.record(small, 11.9)
        assert not detector.record(grown, 12.0)
        assert not detector.record(torn, 20.0)
        assert not detector.record(torn, 29.0)
        assert not detector.record(grown, 30.0)
        assert detector.record(grown, 32.0)

    def test_demo_expects_every_service_and_every_parent(self) -> None:
        first, *others = sorted(EXPECTED_SERVICES)
        spans = [span("root", service=first), *(span(name, "root", service=name) for name in others)]

        assert has_expected_spans(tree(*spans))
        assert not has_expected_spans(tree(*spans[:-1]))
        assert not has_expected_spans(tree(*spans, span("child", "gone")))


class TestFindDetail:
    @pytest.mark.parametrize(
        ("operation", "tags", "expected"),
        [
            ("INSERT", {"db.query.text": "INSERT INTO outbox (id) VALUES ($1)"}, "outbox"),
            ("UPDATE", {"db.query.text": 'UPDATE "email" SET state = $1'}, "email"),
            (
                "SELECT",
                {"db.query.text": "SELECT a FROM customer_order WHERE id = $1 FOR UPDATE OF product"},
                "customer_order",
            ),
            (
                "WITH",
                {"db.query.text": "WITH w AS (SELECT * FROM unnest($1))\nUPDATE product SET stock = 1"},
                "product",
            ),
            ("WITH", {"db.query.text": "WITH w AS (SELECT * FROM unnest($1)) SELECT * FROM w JOIN product"}, "w"),
            ("SELECT job", {"db.query.text": "SELECT 1 FROM job"}, ""),
            ("SELECT", {"db.query.text": "SELECT 1"}, ""),
            (
                "GET",
                {"span.kind": "client", "http.request.method": "GET", "url.full": "http://users:8001/a/b?c=d"},
                "/a/b",
            ),
            ("GET /a", {"span.kind": "client", "http.request.method": "GET", "url.full": "http://users/a"}, ""),
            ("process events:orders", {"cloudevents.event_type": "hopline.order.placed.v1"}, "hopline.order.placed.v1"),
        ],
    )
    def test_detail_that_the_name_omits_is_found(self, operation: str, tags: dict[str, Any], expected: str) -> None:
        assert find_detail(operation, tags) == expected


class TestFailure:
    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ({}, ""),
            ({"error": True}, "failed"),
            ({"error": "true"}, "failed"),
            ({"error": True, "error.type": "503", "hopline.fault": "errors"}, "503 (a fault switch: errors)"),
            ({"error": True, "error.type": "503", "hopline.problem": "circuit-open"}, "503 circuit-open"),
            (
                {"error": True, "error.type": "ValueError", "otel.status_description": "ValueError: no"},
                "ValueError: no",
            ),
        ],
        ids=str,
    )
    def test_failure_is_the_message_or_the_name(self, tags: dict[str, Any], expected: str) -> None:
        failing = span("root") | {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

        assert tree(failing).spans()[0].failure == expected


class TestFindRepeatReason:
    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ({}, ""),
            ({"hopline.job.attempt": 1}, ""),
            ({"hopline.job.attempt": 3}, "attempt 3"),
            ({"http.request.resend_count": 1}, "attempt 2"),
            ({"hopline.messaging.redelivered": True}, "redelivered"),
            ({"hopline.messaging.redelivered": True, "hopline.applied_before": True}, "applied before"),
        ],
        ids=str,
    )
    def test_repeat_reason_is_found(self, tags: dict[str, Any], expected: str) -> None:
        assert find_repeat_reason(tags) == expected


class TestFormatDuration:
    @pytest.mark.parametrize(
        ("microseconds", "written"),
        [
            (0, "0 µs"),
            (999, "999 µs"),
            (999.6, "1.00 ms"),
            (1_000, "1.00 ms"),
            (9_996, "10.0 ms"),
            (12_345, "12.3 ms"),
            (999_000, "999 ms"),
            (999_600, "1.00 s"),
            (4_190_000, "4.19 s"),
            (1_234_000_000, "1234 s"),
        ],
    )
    def test_unit_and_decimals_fit_the_rounded_duration(self, microseconds: float, written: str) -> None:
        assert format_duration(microseconds) == written


class TestStack:
    def test_offset_is_added_to_every_port(self) -> None:
        stack = Stack.from_environment({"HOPLINE_PORT_OFFSET": "100"})

        assert stack == Stack(
            gateway="http://localhost:8100",
            jaeger="http://localhost:16786",
            loki="http://localhost:3200",
            prometheus="http://localhost:9190",
            mailpit="http://localhost:8125",
        )
        assert stack.trace_page("abc") == "http://localhost:16786/trace/abc"

    def test_urls_take_precedence(self) -> None:
        stack = Stack.from_environment({"HOPLINE_PORT_OFFSET": "100", "HOPLINE_LOKI_URL": "http://logs:3100/"})

        assert stack.loki == "http://logs:3100"
