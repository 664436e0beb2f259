"""Readiness reports every dependency of the gateway. None of them is critical."""

import httpx
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url


class TestReadiness:
    async def test_readiness_probes_every_service_and_redis(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        for service in services.fakes:
            service.respond("GET", "/health/ready", {"status": "ready"})
        response = await gateway.get("/health/ready")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "ready"
        assert {name: dependency["status"] for name, dependency in body["dependencies"].items()} == dict.fromkeys(
            ("users", "orders", "notifications", "redis"), "up"
        )

    async def test_readiness_reports_the_state_of_each_pipeline(self, gateway: httpx.AsyncClient) -> None:
        dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
        state = {"breaker": "closed", "calls_in_flight": 0, "retries_saved": 10.0}
        for service in ("users", "orders", "notifications"):
            assert state.items() <= dependencies[service].items()
            assert dependencies[service].keys() == {"status", "latency_ms", "error", "endpoints", *state}
        assert dependencies["orders"]["endpoints"] == {"POST /orders": state, "POST /orders/{order_id}/cancel": state}
        assert dependencies["redis"].keys() == {"status", "latency_ms", "error"}

    async def test_readiness_is_degraded_and_requests_are_served_when_dependencies_are_down(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.users.respond("GET", "/health/ready", {"status": "degraded"})
        services.orders.respond("GET", "/health/ready", {"status": "not_ready"}, status=503)
        services.orders.respond("GET", "/products", {})
        async with open_gateway(notifications_url=unreachable_url(), redis_url=unreachable_url("redis")) as gateway:
            response = await gateway.get("/health/ready")
            assert (await gateway.get("/v2/products")).status_code == 200
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "degraded"
        assert {name: dependency["status"] for name, dependency in body["dependencies"].items()} == {
            "users": "up",
            "orders": "down",
            "notifications": "down",
            "redis": "down",
        }
        assert "503" in body["dependencies"]["orders"]["error"]

    async def test_readiness_names_no_internal_host_in_production(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(
            environment="production", notifications_url=unreachable_url(), redis_url=unreachable_url("redis")
        ) as gateway:
            response = await gateway.get("/health/ready")
        dependencies = response.json()["dependencies"]
        assert {dependencies[name]["status"] for name in ("notifications", "redis")} == {"down"}
        assert all(dependencies[name]["error"] for name in ("notifications", "redis"))
        assert "127.0.0.1" not in response.text
