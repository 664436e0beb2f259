"""`/browser/telemetry`: the export in the background, its limits, and the environments that have it."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from services.gateway.tests.conftest import OpenGateway
from services.gateway.tests.factories import otlp_span, otlp_traces
from services.gateway.tests.fakes import FakeService, hanging_server, unreachable_url

from gateway.browser import telemetry
from testkit.spans import Spans
from testkit.waiting import eventually

NO_EXPORTERS = dict.fromkeys(("otel_traces_exporter", "otel_metrics_exporter", "otel_logs_exporter"), "none")
"""The exporters of the gateway's own telemetry support HTTP only."""

TRACES, METRICS = "/browser/telemetry/v1/traces", "/browser/telemetry/v1/metrics"


class TestBackground:
    async def test_page_does_not_wait_when_the_receiver_hangs(
        self, open_gateway: OpenGateway, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with (
            hanging_server() as receiver,
            open_gateway(
                environment="development", otel_exporter_otlp_endpoint=f"http://{receiver.address}"
            ) as gateway,
        ):
            for _ in range(telemetry.MAX_QUEUED + 2):  # one is sent, and one does not fit into the queue
                assert (await gateway.post(TRACES, json=otlp_traces(otlp_span()))).status_code == 200
            await eventually(lambda: receiver.connections)
            assert "the queue is full" in capsys.readouterr().out

    async def test_bodies_are_sent_in_the_order_in_which_they_arrived(
        self, exporting_gateway: httpx.AsyncClient, otlp_receiver: FakeService
    ) -> None:
        release = asyncio.Event()
        otlp_receiver.respond("POST", "/v1/traces", {}, until=release)
        names = [f"action {number}" for number in range(5)]
        for name in names:
            assert (await exporting_gateway.post(TRACES, json=otlp_traces(otlp_span(name=name)))).status_code == 200
        release.set()
        await eventually(lambda: len(otlp_receiver.requests) == len(names))
        bodies = [orjson.loads(request.body) for request in otlp_receiver.requests]
        assert [body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] for body in bodies] == names

    @pytest.mark.parametrize("status", [400, 503])
    async def test_next_body_is_sent_when_one_failed(
        self,
        exporting_gateway: httpx.AsyncClient,
        otlp_receiver: FakeService,
        status: int,
    ) -> None:
        otlp_receiver.respond("POST", "/v1/traces", {}, status=status)
        for _ in range(2):
            assert (await exporting_gateway.post(TRACES, json=otlp_traces(otlp_span()))).status_code == 200
        await eventually(lambda: len(otlp_receiver.requests) == 2)

    async def test_page_is_served_when_the_receiver_is_unreachable(
        self, open_gateway: OpenGateway, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with open_gateway(environment="development", otel_exporter_otlp_endpoint=unreachable_url()) as gateway:
            assert (await gateway.post(TRACES, json=otlp_traces(otlp_span()))).status_code == 200
            logged = ""

            def is_logged() -> bool:
                nonlocal logged
                logged += capsys.readouterr().out
                return "browser_telemetry_lost" in logged

            await eventually(is_logged)
            assert (await gateway.get("/")).status_code == 200

    async def test_forwarding_creates_no_spans(
        self, open_gateway: OpenGateway, otlp_receiver: FakeService, spans: Spans
    ) -> None:
        settings = {"environment": "development", "otel_exporter_otlp_endpoint": otlp_receiver.url}
        async with open_gateway(**settings) as gateway:
            await gateway.post(TRACES, json=otlp_traces(otlp_span()))
            await eventually(lambda: otlp_receiver.requests)
        assert spans.finished() == ()
        assert "traceparent" not in otlp_receiver.requests[0].headers

    async def test_bodies_of_one_address_are_limited(
        self, open_gateway: OpenGateway, otlp_receiver: FakeService
    ) -> None:
        settings = {"otel_exporter_otlp_endpoint": otlp_receiver.url, "rate_limit_telemetry_address": 2}
        async with open_gateway(environment="development", **settings) as gateway:
            statuses = [(await gateway.post(path, json={})).status_code for path in (TRACES, METRICS, TRACES)]
            assert statuses == [200, 200, 429]
            assert (await gateway.get("/browser/config")).status_code == 200


class TestOtherEnvironments:
    @pytest.mark.parametrize("path", [TRACES, METRICS])
    @pytest.mark.parametrize(
        "settings",
        [
            {"environment": "production"},
            {"environment": "test"},
            {"environment": "development", "otel_exporter_otlp_endpoint": None},
            {"environment": "development", "otel_exporter_otlp_protocol": "grpc", **NO_EXPORTERS},
        ],
        ids=str,
    )
    async def test_response_is_404_and_config_disables_telemetry(
        self, open_gateway: OpenGateway, otlp_receiver: FakeService, path: str, settings: dict[str, Any]
    ) -> None:
        given = {"otel_exporter_otlp_endpoint": otlp_receiver.url, **settings}
        async with open_gateway(**given) as gateway:
            assert (await gateway.post(path, json={})).status_code == 404
            config = (await gateway.get("/browser/config")).json()
        assert config["telemetry"]["enabled"] is False


async def test_config_contains_the_telemetry_endpoints(exporting_gateway: httpx.AsyncClient) -> None:
    config = (await exporting_gateway.get("/browser/config")).json()
    assert config["telemetry"] == {"enabled": True, "traces_url": TRACES, "metrics_url": METRICS}
