"""The parents of spans in Jaeger's responses."""

from typing import Any

import httpx
import pytest

from testkit.jaeger import StoredTrace, get_stored_trace

Reference = tuple[str, str, str]
"""Type, trace id and span id."""


def span_json(span_id: str, references: list[Reference]) -> dict[str, Any]:
    return {
        "traceID": "trace",
        "spanID": span_id,
        "processID": "process",
        "operationName": span_id,
        "references": [
            {"refType": ref_type, "traceID": trace_id, "spanID": span_id} for ref_type, trace_id, span_id in references
        ],
        "tags": [],
    }


async def read_trace(*spans: dict[str, Any]) -> StoredTrace:
    """Return the trace that a Jaeger with these spans returns."""
    data = [{"processes": {"process": {"serviceName": "orders"}}, "spans": list(spans)}]
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": data}))
    async with httpx.AsyncClient(transport=transport, base_url="http://jaeger") as client:
        return await get_stored_trace(client, "trace")


@pytest.mark.parametrize(
    ("references", "parent", "links"),
    [
        pytest.param([], None, [], id="no reference"),
        pytest.param([("CHILD_OF", "trace", "a")], "a", [], id="parent"),
        pytest.param([("FOLLOWS_FROM", "another", "x")], None, ["x"], id="link to another trace"),
        pytest.param(
            [("FOLLOWS_FROM", "trace", "a"), ("FOLLOWS_FROM", "trace", "b")], "a", ["a", "b"], id="linked parent"
        ),
        pytest.param([("FOLLOWS_FROM", "trace", "a"), ("CHILD_OF", "trace", "b")], "b", ["a"], id="link before parent"),
    ],
)
async def test_parent_is_the_child_of_reference_or_else_the_first_reference_in_the_trace(
    references: list[Reference], parent: str | None, links: list[str]
) -> None:
    trace = await read_trace(span_json("span", references))
    assert (trace.spans["span"].parent, trace.spans["span"].links) == (parent, links)
