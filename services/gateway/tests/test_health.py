"""Readiness tells how everything behind the gateway is, and makes nothing of it critical."""

import httpx
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.apps import free_port


class TestReadiness:
    async def test_asks_every_service_and_redis(self, gateway: httpx.AsyncClient, services: Services) -> None:
        for service in (services.users, services.orders, services.notifications):
            service.answers("GET", "/health/ready", {"status": "ready"})
        response = await gateway.get("/health/ready")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "ready"
        assert {name: one["status"] for name, one in body["dependencies"].items()} == dict.fromkeys(
            ("users", "orders", "notifications", "redis"), "up"
        )

    async def test_tells_how_each_service_has_been(self, gateway: httpx.AsyncClient) -> None:
        dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
        told = {"breaker": "closed", "calls_in_flight": 0, "retries_saved": 0.0}
        for service in ("users", "orders", "notifications"):
            assert told.items() <= dependencies[service].items()
            assert dependencies[service].keys() == {"status", "latency_ms", "error", "endpoints", *told}
        assert dependencies["orders"]["endpoints"] == {"POST /orders": told, "POST /orders/{order_id}/cancel": told}
        assert dependencies["redis"].keys() == {"status", "latency_ms", "error"}

    async def test_is_degraded_and_serves_where_something_is_away(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.users.answers("GET", "/health/ready", {"status": "degraded"})
        services.orders.answers("GET", "/health/ready", {"status": "not_ready"}, status=503)
        services.orders.answers("GET", "/products", {})
        nowhere = free_port()
        async with open_gateway(
            notifications_url=f"http://127.0.0.1:{nowhere}", redis_url=f"redis://127.0.0.1:{nowhere}/0"
        ) as gateway:
            response = await gateway.get("/health/ready")
            assert (await gateway.get("/v2/products")).status_code == 200
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "degraded"
        assert {name: one["status"] for name, one in body["dependencies"].items()} == {
            "users": "up",
            "orders": "down",
            "notifications": "down",
            "redis": "down",
        }
        assert "503" in body["dependencies"]["orders"]["error"]

    async def test_names_no_host_of_ours_to_anybody_in_production(self, open_gateway: OpenGateway) -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        async with open_gateway(
            environment="production", notifications_url=f"http://{nowhere}", redis_url=f"redis://{nowhere}/0"
        ) as gateway:
            response = await gateway.get("/health/ready")
        dependencies = response.json()["dependencies"]
        assert {dependencies[name]["status"] for name in ("notifications", "redis")} == {"down"}
        assert all(dependencies[name]["error"] for name in ("notifications", "redis"))
        assert "127.0.0.1" not in response.text
