"""The tree of a trace from Jaeger's JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.tree import Node, Tree

from .jaeger_spans import span, tree


def shape(built: Tree) -> list[str]:
    """Return a line for each span: its id, indented below its parent."""

    def lines(nodes: Sequence[Node], indent: str) -> Iterator[str]:
        for node in nodes:
            yield f"{indent}{node.span.id}{', lost' if node.span.lost else ''}"
            yield from lines(node.children, indent + "  ")

    return list(lines(built.roots, ""))


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
        built = tree(span("short", "root", duration=1), span("long", "root", duration=5), span("root"))
        assert shape(built) == ["root", "  long", "  short"]

    def test_children_are_sorted_by_start_and_have_their_wait(self) -> None:
        built = tree(span("late", "root", start=50), span("early", "root", start=5), span("root", duration=20))

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

    def test_lost_span_has_the_parent_of_its_repeated_attempt(self) -> None:
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
        built = tree(span("root"), *(span(f"child of {lost_id}", lost_id, start=5) for lost_id in reversed(ids)))

        assert [item.id for item in built.lost()] == ids

    def test_span_is_a_child_of_its_lost_parent_when_it_also_links_to_it(self) -> None:
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
    def test_every_span_is_in_the_tree_once_for_any_parents(self, parents: list[int], random: Any) -> None:
        spans = [span(f"s{index}", f"s{parent}", start=random.randrange(9)) for index, parent in enumerate(parents)]

        listed = [item.id for item in tree(*spans).spans()]

        assert sorted(listed) == sorted(item["spanID"] for item in spans)


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
    def test_failure_is_the_status_description_or_the_error_names(self, tags: dict[str, Any], expected: str) -> None:
        failing = span("root") | {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

        assert tree(failing).spans()[0].failure == expected
