"""An overloaded gateway rejects reads before writes. Probes are never rejected."""

import asyncio

import httpx
from services.gateway.tests.conftest import OpenGateway, Services

from gateway.resilience.shedding import READ_FRACTION
from testkit.metrics import RecordedMetrics
from testkit.waiting import eventually


class TestLoadShedding:
    async def test_reads_are_shed_before_writes_and_probes_are_never_shed(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str], metrics: RecordedMetrics
    ) -> None:
        services.orders.hang("POST", "/orders")
        services.orders.respond("GET", "/products", {})
        max_requests = 5
        max_reads = int(max_requests * READ_FRACTION)
        async with open_gateway(max_concurrent_requests=max_requests) as gateway:
            hanging = [self._start_write(gateway, customer_headers) for _ in range(max_reads)]
            await eventually(lambda: services.orders.in_flight == max_reads)
            read = await gateway.get("/v2/products")
            hanging.append(self._start_write(gateway, customer_headers))
            await eventually(lambda: services.orders.in_flight == max_requests)
            write = await gateway.post("/v2/orders", headers=customer_headers, json={})
            assert (await gateway.get("/health/live")).status_code == 200
            assert metrics.value("hopline.gateway.requests.in_flight") == max_requests
            for kind in ("read", "write"):
                assert metrics.value("hopline.gateway.shed", {"hopline.kind": kind}) == 1
            for request in hanging:
                request.cancel()
            await eventually(lambda: services.orders.in_flight == 0)
            await eventually(lambda: self._serves_reads(gateway))
        for rejected in (read, write):
            assert rejected.status_code == 503
            assert rejected.json()["type"].endswith("/overloaded")
            assert 1 <= int(rejected.headers["retry-after"]) <= 3
            assert len(rejected.headers["x-request-id"]) == 32

    async def _serves_reads(self, gateway: httpx.AsyncClient) -> bool:
        return (await gateway.get("/v2/products")).status_code == 200

    def _start_write(
        self, gateway: httpx.AsyncClient, customer_headers: dict[str, str]
    ) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(gateway.post("/v2/orders", headers=customer_headers, json={}))
