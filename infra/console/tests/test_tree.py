"""From Jaeger's JSON to a tree, and the time line it is drawn on."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.about import about
from console.drawing import duration
from console.stack import Stack
from console.timeline import Timeline
from console.tree import Tree
from console.waiting import Settling

INTERVALS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)).map(lambda pair: (pair[0], pair[0] + pair[1])), min_size=1
)


def span(span_id: str, parent: str = "", *, start: int = 0, service: str = "orders", took: int = 10) -> dict[str, Any]:
    references = [{"refType": "CHILD_OF", "traceID": "t", "spanID": parent}] if parent else []
    return {
        "spanID": span_id,
        "operationName": f"op {span_id}",
        "references": references,
        "startTime": start,
        "duration": took,
        "tags": [],
        "processID": service,
    }


def tree(*spans: dict[str, Any]) -> Tree:
    processes = {item["processID"]: {"serviceName": item["processID"]} for item in spans}
    return Tree.from_jaeger({"traceID": "t", "spans": list(spans), "processes": processes})


class TestTree:
    def test_orders_children_by_start_and_measures_their_wait(self) -> None:
        built = tree(span("late", "root", start=50), span("early", "root", start=5), span("root", took=20))

        assert [item.span.id for item in built.walk()] == ["root", "early", "late"]
        assert [item.waited for item in built.walk()] == [0, 0, 30]
        assert (built.start, built.end) == (0, 60)
        assert built.is_whole

    def test_knows_when_something_is_missing(self) -> None:
        built = tree(span("root"), span("child", "gone", start=1))

        assert (len(built.roots), built.missing_parents, built.is_whole) == (2, 1, False)

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

        shown = [item.span.id for item in tree(*spans).walk()]

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
