"""Clients choose the trace id. The gateway decides whether the trace is sampled."""

from collections.abc import Sequence

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from services.gateway.tests.conftest import Services
from services.gateway.tests.processes import deployed, is_up

from testkit.apps import http_client
from testkit.collector import Collector, CollectorMode, running_collector
from testkit.waiting import eventually

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
UNSAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-00"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

PROVIDERS = pytest.mark.parametrize("provider", ["sdk_tracer_provider", "lean"])


def served(collector: Collector, path: str) -> list[Span]:
    """Return the SERVER and CLIENT spans of requests for `path`."""
    return [span for span in collector.spans() if span.name.endswith(path)]


async def request(
    services: Services, redis_url: str, collector: Collector, headers: Sequence[tuple[str, str]], **variables: str
) -> str:
    """Request the products with `headers`, then stop the gateway, which exports its spans; return `traceresponse`."""
    services.orders.respond("GET", "/products", {})
    async with (
        deployed(services, backend=collector.url, redis_url=redis_url, **variables) as (process, url),
        http_client(url) as client,
    ):
        await eventually(lambda: is_up(client))
        response = await client.get("/v2/products", headers=list(headers))
        assert response.status_code == 200
        process.terminate()
        await process.wait()
    return response.headers["traceresponse"]


class TestSampling:
    @PROVIDERS
    async def test_trace_is_recorded_when_the_caller_did_not_sample_it(
        self, services: Services, redis_url: str, provider: str
    ) -> None:
        given = [("traceparent", UNSAMPLED), ("tracestate", "vendor=1,other=2")]
        async with running_collector(CollectorMode.NORMAL) as collector:
            response = await request(services, redis_url, collector, given, OTEL_PYTHON_TRACER_PROVIDER=provider)
        spans = {span.name: span for span in served(collector, "/products")}
        assert set(spans) == {"GET /v2/products", "GET /products"}
        assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
        assert spans["GET /v2/products"].parent_span_id.hex() == "b7ad6b7169203331"
        forwarded = services.orders.requests[-1].headers
        assert forwarded["traceparent"] == f"00-{TRACE_ID}-{spans['GET /products'].span_id.hex()}-01"
        assert forwarded["tracestate"] == "vendor=1,other=2"
        assert response == f"00-{TRACE_ID}-{spans['GET /v2/products'].span_id.hex()}-01"

    @PROVIDERS
    async def test_trace_of_a_caller_is_dropped_when_the_ratio_drops_it(
        self, services: Services, redis_url: str, provider: str
    ) -> None:
        variables = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
        async with running_collector(CollectorMode.NORMAL) as collector:
            response = await request(
                services,
                redis_url,
                collector,
                [("traceparent", SAMPLED)],
                OTEL_PYTHON_TRACER_PROVIDER=provider,
                **variables,
            )
        assert served(collector, "/products") == []
        assert services.orders.requests[-1].headers["traceparent"].startswith(f"00-{TRACE_ID}-")
        assert services.orders.requests[-1].headers["traceparent"].endswith("-00")
        assert response.endswith("-00")

    async def test_several_traceparents_begin_a_new_trace(self, services: Services, redis_url: str) -> None:
        given = [("traceparent", SAMPLED), ("traceparent", OTHER), ("tracestate", "vendor=1")]
        async with running_collector(CollectorMode.NORMAL) as collector:
            response = await request(services, redis_url, collector, given)
        [entry] = served(collector, "/v2/products")
        assert entry.parent_span_id == b""
        assert entry.trace_id.hex() not in {TRACE_ID, OTHER.split("-")[1]}
        assert response.split("-")[1] == entry.trace_id.hex()
        forwarded = services.orders.requests[-1].headers
        assert forwarded["traceparent"].split("-")[1] == entry.trace_id.hex()
        assert "tracestate" not in forwarded
