"""Traces are read as Jaeger means them."""

from typing import Any

import httpx

from testkit.jaeger import stored_trace


def raw(span_id: str, *references: tuple[str, str, str]) -> dict[str, Any]:
    told = [{"refType": kind, "traceID": trace, "spanID": of} for kind, trace, of in references]
    return {
        "traceID": "t",
        "spanID": span_id,
        "processID": "p",
        "operationName": span_id,
        "references": told,
        "tags": [],
    }


def jaeger(*spans: dict[str, Any]) -> httpx.AsyncClient:
    data = [{"processes": {"p": {"serviceName": "orders"}}, "spans": list(spans)}]
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": data}))
    return httpx.AsyncClient(transport=answer, base_url="http://jaeger")


async def test_a_parent_that_is_linked_to_as_well_comes_as_a_link_alone() -> None:
    spans = (
        raw("root", ("FOLLOWS_FROM", "another", "x")),
        raw("first", ("CHILD_OF", "t", "root")),
        raw("again", ("FOLLOWS_FROM", "t", "root"), ("FOLLOWS_FROM", "t", "first")),
        raw("late", ("FOLLOWS_FROM", "t", "again"), ("CHILD_OF", "t", "first")),
    )
    async with jaeger(*spans) as client:
        trace = await stored_trace(client, "t")
    parents = {span.span_id: span.parent for span in trace.spans.values()}
    assert parents == {"root": None, "first": "root", "again": "root", "late": "first"}
    assert trace.spans["again"].links == ["root", "first"]
