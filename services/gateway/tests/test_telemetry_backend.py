"""A telemetry backend that hangs or has stopped does not affect the requests to the gateway."""

import asyncio
import signal

import httpx
from services.gateway.tests.conftest import Services
from services.gateway.tests.fakes import hanging_server
from services.gateway.tests.processes import is_up, running_gateway

from testkit.apps import http_client
from testkit.waiting import TIMEOUT_S, eventually

CONCURRENT_REQUESTS = 50


class TestTelemetryBackend:
    async def test_requests_are_served_when_the_backend_hangs_or_has_stopped(
        self, services: Services, redis_url: str
    ) -> None:
        services.orders.respond("GET", "/products", {})
        async with (
            hanging_server() as backend,
            running_gateway(services, otlp_endpoint=f"http://{backend.address}", redis_url=redis_url) as (process, url),
            http_client(url) as client,
        ):
            await self._assert_serves(client)
            await eventually(lambda: backend.connections, what="an export that hangs")
            await self._assert_serves(client)
            backend.stop()
            await self._assert_serves(client)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0

    async def _assert_serves(self, client: httpx.AsyncClient) -> None:
        await eventually(lambda: is_up(client))
        responses = await asyncio.gather(*(client.get("/v2/products") for _ in range(CONCURRENT_REQUESTS)))
        assert {response.status_code for response in responses} == {200}
