"""The parents of spans in Jaeger's responses."""

from typing import Any

import httpx

from testkit.jaeger import stored_trace


def raw(span_id: str, *references: tuple[str, str, str]) -> dict[str, Any]:
    reported = [{"refType": kind, "traceID": trace, "spanID": of} for kind, trace, of in references]
    return {
        "traceID": "t",
        "spanID": span_id,
        "processID": "p",
        "operationName": span_id,
        "references": reported,
        "tags": [],
    }


def jaeger(*spans: dict[str, Any]) -> httpx.AsyncClient:
    data = [{"processes": {"p": {"serviceName": "orders"}}, "spans": list(spans)}]
    response = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": data}))
    return httpx.AsyncClient(transport=response, base_url="http://jaeger")


async def test_parent_is_the_first_link_when_jaeger_returns_no_child_of_reference() -> None:
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
