"""`/browser/traces/{trace_id}`: requests to the trace backend, limits on its responses, and complete traces."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from services.gateway.tests.conftest import OpenGateway
from services.gateway.tests.factories import TRACE_ID, jaeger_trace
from services.gateway.tests.fakes import FakeService, serve_fake, unreachable_url

from gateway.browser import traces
from testkit.spans import Spans

PATH = f"/api/traces/{TRACE_ID}"
MISSING_SPAN_ID = "00000000000000aa"


@pytest.fixture
async def trace_backend() -> AsyncIterator[FakeService]:
    async with serve_fake("traces") as backend:
        yield backend


class TestRequests:
    async def test_response_is_401_when_the_token_is_missing(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(environment="development") as gateway:
            assert (await gateway.get(f"/browser/traces/{TRACE_ID}")).status_code == 401

    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_response_is_404_outside_of_development(
        self, open_gateway: OpenGateway, customer_headers: dict[str, str], environment: str
    ) -> None:
        async with open_gateway(environment=environment) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        assert response.status_code == 404
        assert response.json()["type"].endswith("/not-found")

    @pytest.mark.parametrize(
        "trace_id", ["..", "x" * 32, TRACE_ID.upper(), TRACE_ID[1:], f"{TRACE_ID}%3flimit=1", f"{TRACE_ID}%2f.."]
    )
    async def test_invalid_id_is_not_requested_from_the_backend(
        self,
        open_gateway: OpenGateway,
        trace_backend: FakeService,
        customer_headers: dict[str, str],
        trace_id: str,
    ) -> None:
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            target = f"/browser/traces/{trace_id}".encode()
            request = gateway.build_request("GET", "/", headers=customer_headers, extensions={"target": target})
            assert (await gateway.send(request)).status_code == 404
        assert trace_backend.requests == []

    async def test_reading_a_trace_creates_no_spans(
        self,
        open_gateway: OpenGateway,
        trace_backend: FakeService,
        customer_headers: dict[str, str],
        spans: Spans,
    ) -> None:
        trace_backend.respond("GET", PATH, jaeger_trace())
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            assert (await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)).status_code == 200
        assert len(trace_backend.requests) == 1
        assert spans.finished() == ()


class TestBackendResponses:
    async def test_numbers_of_spans_and_characters_are_limited(
        self, open_gateway: OpenGateway, trace_backend: FakeService, customer_headers: dict[str, str]
    ) -> None:
        trace_backend.respond("GET", PATH, jaeger_trace(traces.MAX_SPANS + 1, name="x" * 1000))
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            trace = (await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)).json()
        assert len(trace["spans"]) == traces.MAX_SPANS
        assert {len(span["name"]) for span in trace["spans"]} == {traces.MAX_TEXT}
        assert trace["complete"] is False

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (orjson.dumps(jaeger_trace()) + b" " * traces.MAX_BYTES, 502),
            (b"no json", 502),
            ({"data": [{}]}, 502),
            ({"data": [{"processes": {}, "spans": [{"tags": []}]}]}, 502),
            ({"data": 7}, 502),
            ({"data": None}, 404),
        ],
        ids=["too large", "no JSON", "no spans", "incomplete span", "no list", "no data"],
    )
    async def test_response_is_a_problem_when_the_backend_sends_no_usable_trace(
        self,
        open_gateway: OpenGateway,
        trace_backend: FakeService,
        customer_headers: dict[str, str],
        body: object,
        status: int,
    ) -> None:
        trace_backend.respond("GET", PATH, body)
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"

    async def test_response_is_502_when_the_backend_sends_an_invalid_encoding(
        self, open_gateway: OpenGateway, trace_backend: FakeService, customer_headers: dict[str, str]
    ) -> None:
        trace_backend.respond("GET", PATH, b"not compressed", headers={"content-encoding": "gzip"})
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        assert response.status_code == 502
        assert response.json()["type"].endswith("/upstream-broken")

    async def test_response_is_504_when_the_backend_does_not_respond(
        self, open_gateway: OpenGateway, trace_backend: FakeService, customer_headers: dict[str, str]
    ) -> None:
        trace_backend.respond("GET", PATH, jaeger_trace(), until=asyncio.Event())
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        assert response.status_code == 504

    async def test_response_is_504_when_the_backend_does_not_end_its_response(
        self, open_gateway: OpenGateway, trace_backend: FakeService, customer_headers: dict[str, str]
    ) -> None:
        """Each byte arrives within the timeout of a read, so only a limit on the whole response ends it early."""
        trace_backend.send_slowly("GET", PATH)
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        assert response.status_code == 504
        assert response.elapsed.total_seconds() < 10 * traces.TIMEOUT_S, "the deadline of the request, 30 s, ended it"

    async def test_response_is_503_when_the_backend_is_unreachable(
        self, open_gateway: OpenGateway, customer_headers: dict[str, str]
    ) -> None:
        async with open_gateway(environment="development", traces_query_url=unreachable_url()) as gateway:
            response = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        assert response.status_code == 503
        assert response.json()["type"].endswith("/upstream-unreachable")


class TestCompleteness:
    @pytest.mark.parametrize(
        ("started_s_ago", "parent", "is_complete"),
        [(60, None, True), (1, None, False), (60, MISSING_SPAN_ID, True)],
        ids=["old", "recent", "old without the span of its client"],
    )
    async def test_trace_is_complete_when_its_last_span_is_old(
        self,
        *,
        open_gateway: OpenGateway,
        trace_backend: FakeService,
        customer_headers: dict[str, str],
        started_s_ago: float,
        parent: str | None,
        is_complete: bool,
    ) -> None:
        stored = jaeger_trace(started_s_ago=started_s_ago)
        if parent:
            reference = {"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": parent}
            stored["data"][0]["spans"][0]["references"] = [reference]
        trace_backend.respond("GET", PATH, stored)
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            trace = (await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)).json()
        assert trace["complete"] is is_complete
        assert trace["spans"][0]["parent_span_id"] == parent

    @pytest.mark.parametrize(("service", "is_complete"), [("orders", False), ("browser", True)])
    async def test_missing_parent_makes_a_trace_incomplete_unless_its_child_is_a_span_of_the_page(
        self,
        *,
        open_gateway: OpenGateway,
        trace_backend: FakeService,
        customer_headers: dict[str, str],
        service: str,
        is_complete: bool,
    ) -> None:
        stored = jaeger_trace(2)
        [trace] = stored["data"]
        trace["processes"]["p2"] = {"serviceName": service, "tags": []}
        trace["spans"][1]["processID"] = "p2"
        trace["spans"][1]["references"] = [{"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": MISSING_SPAN_ID}]
        trace_backend.respond("GET", PATH, stored)
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            found = (await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)).json()
        assert found["complete"] is is_complete


class TestParents:
    @pytest.mark.parametrize(
        ("references", "parent"),
        [
            ([("FOLLOWS_FROM", TRACE_ID, "1"), ("CHILD_OF", TRACE_ID, "2")], "2"),
            ([("FOLLOWS_FROM", TRACE_ID, "1"), ("FOLLOWS_FROM", TRACE_ID, "2")], "1"),
            ([("CHILD_OF", "f" * 32, "1"), ("FOLLOWS_FROM", TRACE_ID, "2")], "2"),
        ],
        ids=["a link and the parent", "the parent as a link", "a link to another trace"],
    )
    async def test_parent_is_a_reference_to_the_same_trace_when_a_span_has_links(
        self,
        open_gateway: OpenGateway,
        trace_backend: FakeService,
        customer_headers: dict[str, str],
        references: list[tuple[str, str, str]],
        parent: str,
    ) -> None:
        stored = jaeger_trace()
        stored["data"][0]["spans"][0]["references"] = [
            {"refType": kind, "traceID": trace_id, "spanID": span_id} for kind, trace_id, span_id in references
        ]
        trace_backend.respond("GET", PATH, stored)
        async with open_gateway(environment="development", traces_query_url=trace_backend.url) as gateway:
            trace = (await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)).json()
        assert [span["parent_span_id"] for span in trace["spans"]] == [parent]
