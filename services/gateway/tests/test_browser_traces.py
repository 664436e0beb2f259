"""`/browser/traces/{trace_id}`: a user can read only the traces of the user's own requests."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind, format_trace_id
from services.gateway.tests.conftest import CALLER, OTHER_USER, OpenGateway, Services
from services.gateway.tests.factories import TRACE_ID, otlp_attribute, otlp_span, otlp_traces
from services.gateway.tests.processes import is_up, running_gateway

from testkit.apps import http_client
from testkit.observatory import Observatory, Telemetry, running_observatory
from testkit.waiting import eventually


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    with running_observatory() as observatory:
        yield observatory


def store_trace(observatory: Observatory, *users: str | None) -> str:
    """Store one trace with a request to the gateway by each user, and return its id. None is a request without a user.

    Each request has a span of orders with the id of the caller.
    """
    gateway, orders = (Telemetry(observatory, service) for service in ("gateway", "orders"))
    with gateway.tracer.start_as_current_span("place order") as root:
        for user in users:
            attributes = {"http.route": "/v2/orders", "client.address": "203.0.113.7"}
            if user is not None:
                attributes["user.id"] = user
            with (
                gateway.tracer.start_as_current_span("POST /v2/orders", kind=SpanKind.SERVER, attributes=attributes),
                orders.tracer.start_as_current_span("POST /orders", kind=SpanKind.SERVER) as span,
            ):
                span.set_attribute("user.id", CALLER)
    gateway.close()
    orders.close()
    return format_trace_id(root.get_span_context().trace_id)


def store_registration(observatory: Observatory, user: str) -> str:
    """Store the trace of a registration, whose request to the gateway has no user, and return its id."""
    gateway, users = (Telemetry(observatory, service) for service in ("gateway", "users"))
    with (
        gateway.tracer.start_as_current_span("POST /v2/users", kind=SpanKind.SERVER) as root,
        users.tracer.start_as_current_span("POST /users", kind=SpanKind.SERVER, attributes={"user.id": user}),
    ):
        pass
    gateway.close()
    users.close()
    return format_trace_id(root.get_span_context().trace_id)


class TestOwnTraces:
    async def test_spans_of_the_callers_request_are_returned(
        self, open_gateway: OpenGateway, observatory: Observatory, customer_headers: dict[str, str]
    ) -> None:
        trace_id = store_trace(observatory, CALLER)
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=customer_headers)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        trace = response.json()
        assert trace["trace_id"] == trace_id
        root, request, call = trace["spans"]
        assert root["parent_span_id"] is None
        assert (request["name"], request["service"], request["kind"]) == ("POST /v2/orders", "gateway", "server")
        assert request["parent_span_id"] == root["span_id"]
        assert call["parent_span_id"] == request["span_id"]
        assert call["service"] == "orders"
        assert request["attributes"] == {"http.route": "/v2/orders"}
        assert request["scope"] == "shop.tracing"
        assert request["start_us"] >= root["start_us"]
        assert 0 <= request["duration_us"] <= root["duration_us"]
        assert (request["status"], request["error"]) == ("UNSET", None)
        assert trace["complete"] is False  # its last span ended a moment ago

    @pytest.mark.parametrize(
        "users",
        [(OTHER_USER,), (None,), (CALLER, OTHER_USER)],
        ids=["another user", "no user", "the caller and another user"],
    )
    async def test_trace_is_not_found_when_not_all_requests_are_of_the_caller(
        self,
        open_gateway: OpenGateway,
        observatory: Observatory,
        customer_headers: dict[str, str],
        users: tuple[str | None, ...],
    ) -> None:
        """Each trace has a span of orders with the caller's id, but only spans of the gateway and of users count."""
        trace_id = store_trace(observatory, *users)
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=customer_headers)
            unknown = await gateway.get(f"/browser/traces/{TRACE_ID}", headers=customer_headers)
        for rejected in (response, unknown):
            assert rejected.status_code == 404
            assert rejected.json()["type"].endswith("/trace-not-found")
        assert response.json()["detail"] == unknown.json()["detail"]

    @pytest.mark.parametrize(
        "preferences",
        [
            [("Prefer", "respond-async")],
            [("Prefer", "wait=10, Respond-Async; a=b")],
            [("Prefer", "wait=10"), ("Prefer", "respond-async")],
        ],
    )
    async def test_response_is_202_when_the_trace_is_not_found_and_the_client_prefers_respond_async(
        self,
        open_gateway: OpenGateway,
        observatory: Observatory,
        customer_headers: dict[str, str],
        preferences: list[tuple[str, str]],
    ) -> None:
        trace_id = store_trace(observatory, OTHER_USER)
        headers = [*customer_headers.items(), *preferences]
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=headers)
            invalid = await gateway.get(f"/browser/traces/{trace_id.upper()}x", headers=headers)
        assert response.status_code == 202
        assert response.json() == {"trace_id": trace_id, "spans": [], "complete": False}
        assert invalid.status_code == 404

    @pytest.mark.parametrize(("registered", "status"), [(CALLER, 200), (OTHER_USER, 404)])
    async def test_registration_is_returned_only_to_the_registered_user(
        self,
        open_gateway: OpenGateway,
        observatory: Observatory,
        customer_headers: dict[str, str],
        registered: str,
        status: int,
    ) -> None:
        trace_id = store_registration(observatory, registered)
        async with open_gateway(environment="development", traces_query_url=observatory.url("jaeger")) as gateway:
            response = await gateway.get(f"/browser/traces/{trace_id}", headers=customer_headers)
        assert response.status_code == status

    async def test_trace_that_the_gateway_exported_is_returned(
        self, services: Services, observatory: Observatory, redis_url: str, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/orders", {"items": []})
        variables = {"ENVIRONMENT": "development", "TRACES_URL": observatory.url("jaeger")}
        gateway = running_gateway(services, otlp_endpoint=observatory.url("otlp"), redis_url=redis_url, **variables)
        async with gateway as (_, url), http_client(url) as client:
            await eventually(lambda: is_up(client))
            response = await client.get("/v2/orders", headers=customer_headers)
            trace_id = response.headers["traceresponse"].split("-")[1]

            async def read_trace() -> Any:
                found = await client.get(f"/browser/traces/{trace_id}", headers=customer_headers)
                return found.json() if found.is_success else None

            trace = await eventually(read_trace, what="the trace of the request")
        names = {(span["service"], span["kind"], span["name"]) for span in trace["spans"]}
        assert names == {("gateway", "server", "GET /v2/orders"), ("gateway", "client", "GET /orders")}


async def test_trace_of_another_user_is_not_found_when_a_page_added_a_span(
    open_gateway: OpenGateway, observatory: Observatory, customer_headers: dict[str, str]
) -> None:
    """The page poses as the gateway. Its span gets the service `browser`, so the user of the span does not count."""
    trace_id = store_trace(observatory, OTHER_USER)
    forged = otlp_span(traceId=trace_id, name="GET /v2/orders", kind=2, attributes=[otlp_attribute("user.id", CALLER)])
    urls = {"traces_query_url": observatory.url("jaeger"), "otel_exporter_otlp_endpoint": observatory.url("otlp")}
    async with open_gateway(environment="development", **urls) as gateway, httpx.AsyncClient() as backend:
        assert (await gateway.post("/browser/telemetry/v1/traces", json=otlp_traces(forged))).json() == {}

        async def has_arrived() -> bool:
            found = await backend.get(observatory.url("jaeger", f"/api/traces/{trace_id}"))
            processes = found.json()["data"][0]["processes"].values()
            return "browser" in {process["serviceName"] for process in processes}

        await eventually(has_arrived, what="the span of the page")
        assert (await gateway.get(f"/browser/traces/{trace_id}", headers=customer_headers)).status_code == 404
