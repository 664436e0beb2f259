"""An overloaded gateway rejects reads before writes. Probes are never rejected."""

import asyncio

import httpx
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.metrics import Metrics
from testkit.waiting import eventually


class TestLoadShedding:
    async def test_reads_are_shed_before_writes_and_probes_never(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], metrics: Metrics
    ) -> None:
        services.orders.hang("POST", "/orders")
        services.orders.respond("GET", "/products", {})
        async with open_gateway(max_concurrent_requests=5) as gateway:
            placing = [self._place(gateway, token) for _ in range(4)]
            await eventually(lambda: services.orders.in_flight == 4)
            read = await gateway.get("/v2/products")
            placing.append(self._place(gateway, token))
            await eventually(lambda: services.orders.in_flight == 5)
            write = await gateway.post("/v2/orders", headers=token, json={})
            assert (await gateway.get("/health/live")).status_code == 200
            assert metrics.value("hopline.gateway.requests.in_flight") == 5
            assert [metrics.value("hopline.gateway.shed", {"hopline.kind": kind}) for kind in ("read", "write")] == [
                1,
                1,
            ]
            for request in placing:
                request.cancel()
            await eventually(lambda: services.orders.in_flight == 0)
            await eventually(lambda: self._is_read(gateway))
        for rejected in (read, write):
            assert rejected.status_code == 503
            assert rejected.json()["type"].endswith("/overloaded")
            assert 1 <= int(rejected.headers["retry-after"]) <= 3
            assert len(rejected.headers["x-request-id"]) == 32

    async def _is_read(self, gateway: httpx.AsyncClient) -> bool:
        return (await gateway.get("/v2/products")).status_code == 200

    def _place(self, gateway: httpx.AsyncClient, token: dict[str, str]) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(gateway.post("/v2/orders", headers=token, json={}))
