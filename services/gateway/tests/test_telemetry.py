"""Span names, the trace through the gateway, baggage, and the access log record."""

import json
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from services.gateway.tests.conftest import CALLER, OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

from testkit.spans import Spans
from testkit.waiting import eventually

ORDER = "0198b7f0-0000-7000-8000-00000000000a"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class TestSpans:
    async def test_trace_continues_from_the_client_to_the_service(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str], spans: Spans
    ) -> None:
        services.orders.respond("GET", f"/orders/{ORDER}", {})
        response = await gateway.get(f"/v2/orders/{ORDER}", headers={**customer_headers, "traceparent": TRACEPARENT})
        server = await eventually(lambda: spans.one("GET /v2/orders/{order_id}"))
        client = spans.one("GET /orders/{order_id}")
        assert server.kind is SpanKind.SERVER
        assert server.parent
        assert client.parent
        assert format(server.parent.span_id, "016x") == PARENT_ID
        assert client.kind is SpanKind.CLIENT
        assert client.parent.span_id == server.context.span_id
        server_id, client_id = (format(span.context.span_id, "016x") for span in (server, client))
        assert response.headers["traceresponse"] == f"00-{TRACE_ID}-{server_id}-01"
        assert services.orders.requests[0].headers["traceparent"] == f"00-{TRACE_ID}-{client_id}-01"

    async def test_attributes_follow_the_semantic_conventions(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str], spans: Spans
    ) -> None:
        services.orders.respond("GET", f"/orders/{ORDER}", {})
        await gateway.get(f"/v2/orders/{ORDER}", headers=customer_headers)
        server = await eventually(lambda: spans.one("GET /v2/orders/{order_id}"))
        assert attributes(server)["http.route"] == "/v2/orders/{order_id}"
        assert attributes(server)["http.response.status_code"] == 200
        assert attributes(server)["user.id"] == CALLER
        url = services.urls["orders_url"]
        assert attributes(spans.one("GET /orders/{order_id}")) == {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "url.template": "/orders/{order_id}",
            "url.full": f"{url}/orders/{ORDER}",
            "server.address": "127.0.0.1",
            "server.port": int(url.rpartition(":")[2]),
            "network.peer.address": "127.0.0.1",
            "network.peer.port": int(url.rpartition(":")[2]),
            "network.protocol.version": "1.1",
            "service.peer.name": "orders",
        }

    async def test_listed_baggage_is_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        await gateway.post("/v2/orders", json={}, headers={**customer_headers, "baggage": "hopline.synthetic=true"})
        assert services.orders.requests[0].headers["baggage"] == "hopline.synthetic=true"

    async def test_unlisted_baggage_and_long_tracestate_are_not_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        """Services store forwarded baggage with events, so clients may choose neither its names nor its size."""
        services.orders.respond("GET", "/orders", {})
        given = {"baggage": f"a={'x' * 4000},hopline.synthetic=true,b=2", "traceparent": TRACEPARENT}
        members = [f"vendor{number}={'x' * 20}" for number in range(10, 25)]
        given["tracestate"] = ",".join([*members, f"long={'x' * 200}"])
        await gateway.get("/v2/orders", headers={**customer_headers, **given})
        await gateway.get("/v2/orders", headers={**customer_headers, "baggage": f"hopline.synthetic={'x' * 4000}"})
        first, second = (request.headers for request in services.orders.requests)
        assert first["baggage"] == "hopline.synthetic=true"
        assert first["tracestate"] == ",".join(members)
        assert "baggage" not in second

    async def test_spans_have_the_status_error_when_the_service_is_unreachable(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str], spans: Spans
    ) -> None:
        async with open_gateway(orders_url=unreachable_url(), retries_per_second=0) as gateway:
            await gateway.get("/v2/orders", headers=customer_headers)
        client = spans.one("GET /orders")
        assert client.status.status_code is StatusCode.ERROR
        assert attributes(client)["error.type"] == "ConnectError"
        assert spans.one("GET /v2/orders").status.status_code is StatusCode.ERROR

    async def test_span_name_has_no_path_when_no_route_matches(self, gateway: httpx.AsyncClient, spans: Spans) -> None:
        for path in ("/v1/unknown/path", "/v2/unknown/path", "/unknown/path"):
            await gateway.get(path)
        await eventually(lambda: len(spans.finished()) == 3)
        assert [span.name for span in spans.finished()] == ["GET /v1", "GET", "GET"]

    async def test_probes_create_no_spans(self, gateway: httpx.AsyncClient, services: Services, spans: Spans) -> None:
        await gateway.get("/health/ready")
        assert [request.path for request in services.orders.requests] == ["/health/ready"]
        assert "traceparent" not in services.orders.requests[0].headers
        assert spans.finished() == ()


class TestAccessLog:
    async def test_access_log_record_names_the_request_the_trace_the_user_and_the_route(
        self,
        gateway: httpx.AsyncClient,
        services: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        services.orders.respond("GET", f"/orders/{ORDER}", {})
        response = await gateway.get(f"/v2/orders/{ORDER}", headers=customer_headers)
        [record] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"http_request"' in line]
        assert record["service"] == "gateway"
        assert record["http.route"] == "/v2/orders/{order_id}"
        assert record["url.path"] == f"/v2/orders/{ORDER}"
        assert record["user_id"] == CALLER
        assert record["http.response.status_code"] == 200
        assert record["request_id"] == response.headers["x-request-id"]
        assert record["trace_id"] == response.headers["traceresponse"].split("-")[1]
