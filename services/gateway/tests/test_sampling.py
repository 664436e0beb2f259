"""Clients choose the trace id. The gateway decides whether the trace is sampled."""

from collections.abc import Sequence

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from services.gateway.tests.conftest import Services
from services.gateway.tests.processes import is_up, running_gateway

from testkit.apps import http_client
from testkit.collector import Collector, CollectorMode, running_collector
from testkit.waiting import eventually

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-00"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01"
OTHER_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_SAMPLED = f"00-{OTHER_TRACE_ID}-00f067aa0ba902b7-01"

BOTH_PROVIDERS = pytest.mark.parametrize("provider", ["sdk_tracer_provider", "lean"])


def exported_spans(collector: Collector, path: str) -> list[Span]:
    """Return the exported SERVER and CLIENT spans of requests for `path`."""
    return [span for span in collector.spans() if span.name.endswith(path)]


async def request_products(
    services: Services, redis_url: str, collector: Collector, headers: Sequence[tuple[str, str]], **variables: str
) -> str:
    """Request the products with `headers`, stop the gateway, which exports its spans, and return `traceresponse`."""
    services.orders.respond("GET", "/products", {})
    async with (
        running_gateway(services, otlp_endpoint=collector.url, redis_url=redis_url, **variables) as (process, url),
        http_client(url) as client,
    ):
        await eventually(lambda: is_up(client))
        response = await client.get("/v2/products", headers=list(headers))
        assert response.status_code == 200
        process.terminate()
        await process.wait()
    return response.headers["traceresponse"]


class TestSampling:
    @BOTH_PROVIDERS
    async def test_trace_is_recorded_when_the_caller_did_not_sample_it(
        self, services: Services, redis_url: str, provider: str
    ) -> None:
        given = [("traceparent", UNSAMPLED), ("tracestate", "vendor=1,other=2")]
        async with running_collector(CollectorMode.NORMAL) as collector:
            traceresponse = await request_products(
                services, redis_url, collector, given, OTEL_PYTHON_TRACER_PROVIDER=provider
            )
        spans = {span.name: span for span in exported_spans(collector, "/products")}
        assert set(spans) == {"GET /v2/products", "GET /products"}
        assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
        assert spans["GET /v2/products"].parent_span_id.hex() == PARENT_ID
        forwarded = services.orders.requests[-1].headers
        assert forwarded["traceparent"] == f"00-{TRACE_ID}-{spans['GET /products'].span_id.hex()}-01"
        assert forwarded["tracestate"] == "vendor=1,other=2"
        assert traceresponse == f"00-{TRACE_ID}-{spans['GET /v2/products'].span_id.hex()}-01"

    @BOTH_PROVIDERS
    async def test_sampled_trace_of_a_caller_is_dropped_when_the_ratio_is_zero(
        self, services: Services, redis_url: str, provider: str
    ) -> None:
        variables = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
        async with running_collector(CollectorMode.NORMAL) as collector:
            traceresponse = await request_products(
                services,
                redis_url,
                collector,
                [("traceparent", SAMPLED)],
                OTEL_PYTHON_TRACER_PROVIDER=provider,
                **variables,
            )
        assert exported_spans(collector, "/products") == []
        assert services.orders.requests[-1].headers["traceparent"].startswith(f"00-{TRACE_ID}-")
        assert services.orders.requests[-1].headers["traceparent"].endswith("-00")
        assert traceresponse.endswith("-00")

    async def test_new_trace_begins_when_the_request_has_several_traceparents(
        self, services: Services, redis_url: str
    ) -> None:
        given = [("traceparent", SAMPLED), ("traceparent", OTHER_SAMPLED), ("tracestate", "vendor=1")]
        async with running_collector(CollectorMode.NORMAL) as collector:
            traceresponse = await request_products(services, redis_url, collector, given)
        [server] = exported_spans(collector, "/v2/products")
        assert server.parent_span_id == b""
        assert server.trace_id.hex() not in {TRACE_ID, OTHER_TRACE_ID}
        assert traceresponse.split("-")[1] == server.trace_id.hex()
        forwarded = services.orders.requests[-1].headers
        assert forwarded["traceparent"].split("-")[1] == server.trace_id.hex()
        assert "tracestate" not in forwarded
