"""From Jaeger's JSON to a tree, and the time line it is drawn on."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.about import about, again
from console.drawing import duration
from console.stack import Stack
from console.timeline import Timeline
from console.tree import Node, Tree
from console.waiting import Settling

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
    """The ids, each below its parent's."""

    def lines(nodes: Sequence[Node], indent: str) -> Iterator[str]:
        for node in nodes:
            yield f"{indent}{node.span.id}{', lost' if node.span.lost else ''}"
            yield from lines(node.children, indent + "  ")

    return list(lines(built.roots, ""))


class TestTree:
    def test_takes_a_parent_that_is_linked_to_as_well_from_its_only_reference(self) -> None:
        built = tree(span("root"), span("first", "root"), span("again", "", "root", "first", start=5))
        assert shape(built) == ["root", "  first", "  again"]

    def test_orders_children_by_start_and_measures_their_wait(self) -> None:
        built = tree(span("late", "root", start=50), span("early", "root", start=5), span("root", took=20))

        assert [item.span.id for item in built.walk()] == ["root", "early", "late"]
        assert [item.waited for item in built.walk()] == [0, 0, 30]
        assert (built.start, built.end) == (0, 60)
        assert built.is_whole

    def test_knows_when_something_is_missing(self) -> None:
        built = tree(span("root"), span("child", "gone", start=1))

        assert (len(built.roots), built.missing_parents, built.is_whole) == (2, 1, False)
        assert shape(built) == ["root", "gone, lost", "  child"]

    def test_puts_what_died_where_a_later_try_says_it_belongs(self) -> None:
        again = span("again", "root", "root", "dead", start=10_000)
        built = tree(span("root"), again, span("below", "dead", start=500), span("early", "root", start=5))

        assert shape(built) == ["root", "  early", "  dead, lost", "    below", "  again"]
        assert built.lost()[0].operation == "op again"
        assert (built.missing_parents, built.is_whole, len(built.spans())) == (1, False, 4)

    def test_shows_what_died_childless(self) -> None:
        assert shape(tree(span("root"), span("again", "root", "dead", start=9))) == ["root", "  dead, lost", "  again"]

    def test_misses_nothing_of_a_request_from_outside(self) -> None:
        built = tree(span("served", "browser's", kind="server"), span("below", "served", start=1, kind="server"))

        assert (shape(built), built.is_whole) == (["served", "  below"], True)

    def test_takes_a_later_try_of_a_lost_parent_for_its_child(self) -> None:
        assert shape(tree(span("root"), span("again", "gone", "gone", start=9))) == ["root", "gone, lost", "  again"]

    def test_lists_services_in_the_order_they_came_in(self) -> None:
        built = tree(
            span("a", service="gateway"),
            span("b", "a", start=5, service="users"),
            span("c", "a", start=2, service="orders"),
        )

        assert built.services() == ["gateway", "orders", "users"]

    @given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.randoms())
    def test_shows_every_span_once_whatever_the_parents_are(self, parents: list[int], random: Any) -> None:
        spans = [span(f"s{own}", f"s{parent}", start=random.randrange(9)) for own, parent in enumerate(parents)]

        shown = [item.id for item in tree(*spans).spans()]

        assert sorted(shown) == sorted(item["spanID"] for item in spans)


class TestTimeline:
    @given(INTERVALS)
    def test_keeps_the_order_of_times(self, intervals: list[tuple[int, int]]) -> None:
        line = Timeline(intervals)
        times = sorted(time for interval in intervals for time in interval)

        places = [line.at(time) for time in times]

        assert all(earlier <= later + 1e-9 for earlier, later in pairwise(places))
        assert 0.0 <= places[0] <= places[-1] <= 1.0 + 1e-9
        assert line.at(times[0] - 1) == places[0]

    def test_folds_long_waits_and_keeps_short_ones(self) -> None:
        line = Timeline([(0, 50), (55, 100), (1_000_100, 1_000_200)])

        (fold,) = line.folds()
        assert (fold.start, fold.end) == (100, 1_000_100)
        assert fold.right - fold.left < 0.05
        assert line.at(50) == pytest.approx(50 / (200 + 0.04 * 195))

    def test_of_an_instant(self) -> None:
        assert Timeline([(5, 5)]).at(5) == 0.0


class TestSettling:
    def test_needs_a_whole_trace_that_stopped_growing(self) -> None:
        settling = Settling(frozenset({"orders"}), 2.0)
        small, grown = tree(span("root")), tree(span("root"), span("child", "root"))
        torn = tree(span("root"), span("child", "root"), span("lost", "gone"))

        assert not settling.saw(small, 10.0)
        assert not settling.saw(small, 11.9)
        assert not settling.saw(grown, 12.0)
        assert not settling.saw(torn, 20.0)
        assert not settling.saw(torn, 29.0)
        assert not settling.saw(grown, 30.0)
        assert settling.saw(grown, 32.0)

    def test_needs_every_service(self) -> None:
        settling = Settling(frozenset({"orders", "users"}), 0.0)

        assert not settling.saw(tree(span("root")), 1.0)
        assert settling.saw(tree(span("root"), span("child", "root", service="users")), 2.0)


class TestAbout:
    @pytest.mark.parametrize(
        ("operation", "tags", "said"),
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
    def test_says_what_a_bare_name_leaves_out(self, operation: str, tags: dict[str, Any], said: str) -> None:
        assert about(operation, tags) == said


class TestFailure:
    @pytest.mark.parametrize(
        ("tags", "said"),
        [
            ({}, ""),
            ({"error": True}, "failed"),
            ({"error": True, "error.type": "503", "hopline.fault": "errors"}, "503 (a fault switch: errors)"),
            ({"error": True, "error.type": "503", "hopline.problem": "circuit-open"}, "503 circuit-open"),
            (
                {"error": True, "error.type": "ValueError", "otel.status_description": "ValueError: no"},
                "ValueError: no",
            ),
        ],
        ids=str,
    )
    def test_is_told_in_its_own_words_or_by_name(self, tags: dict[str, Any], said: str) -> None:
        failing = span("root") | {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

        assert tree(failing).spans()[0].failure == said


class TestAgain:
    @pytest.mark.parametrize(
        ("tags", "said"),
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
    def test_says_that_it_is_no_first_try(self, tags: dict[str, Any], said: str) -> None:
        assert again(tags) == said


class TestWords:
    @pytest.mark.parametrize(
        ("microseconds", "written"),
        [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (12_345, "12.3 ms"),
            (999_000, "999 ms"),
            (4_190_000, "4.19 s"),
        ],
    )
    def test_durations(self, microseconds: int, written: str) -> None:
        assert duration(microseconds) == written


class TestStack:
    def test_moves_every_port(self) -> None:
        stack = Stack.from_environment({"HOPLINE_PORT_OFFSET": "100"})

        assert stack.gateway == "http://localhost:8100"
        assert stack.trace_page("abc") == "http://localhost:16786/trace/abc"

    def test_takes_urls_as_they_are(self) -> None:
        stack = Stack.from_environment({"HOPLINE_PORT_OFFSET": "100", "HOPLINE_LOKI_URL": "http://logs:3100/"})

        assert stack.loki == "http://logs:3100"
