"""`/browser/config` and `/browser/resilience`: the configuration of the page, and the state of this process."""

import asyncio
import os

import pytest
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.apps import free_port
from testkit.waiting import eventually


class TestConfig:
    async def test_config_contains_environment_and_links(self, open_gateway: OpenGateway) -> None:
        urls = {
            "traces_url": "http://traces.example/",
            "logs_url": "http://logs.example/explore",
            "mail_url": "http://mail.example/",
        }
        async with open_gateway(environment="development", **urls) as gateway:
            response = await gateway.get("/browser/config")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        config = response.json()
        assert (config["environment"], config["development"]) == ("development", True)
        assert config["links"] == {
            "docs": "/v2/docs",
            "traces": "http://traces.example/",
            "logs": "http://logs.example/explore",
            "metrics": None,
            "mail": "http://mail.example/",
        }

    async def test_development_is_false_in_production(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(environment="production") as gateway:
            config = (await gateway.get("/browser/config")).json()
        assert (config["environment"], config["development"]) == ("production", False)


class TestResilience:
    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_route_is_missing_outside_of_development(self, open_gateway: OpenGateway, environment: str) -> None:
        async with open_gateway(environment=environment) as gateway:
            assert (await gateway.get("/browser/resilience")).status_code == 404

    async def test_state_of_every_part_is_returned(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(environment="development", max_concurrent_calls=7) as gateway:
            state = (await gateway.get("/browser/resilience")).json()
        assert state["process"] == os.getpid()  # the server runs in the process of the test
        assert state["requests"] == {"in_flight": 1, "limit": 500, "shed": 0}
        assert state["upstreams"].keys() == {"users", "orders", "notifications"}
        orders = state["upstreams"]["orders"]
        assert orders["circuit"] == "closed"
        assert orders["bulkhead"] == {"in_use": 0, "limit": 7, "waiting": 0}
        assert orders["retry_budget"] == {"tokens": 10, "limit": 10}
        assert orders["endpoints"].keys() == {"POST /orders", "POST /orders/{order_id}/cancel"}
        assert orders["endpoints"]["POST /orders"]["circuit"] == "closed"

    async def test_calls_in_flight_and_waiting_are_counted(self, open_gateway: OpenGateway, services: Services) -> None:
        released = asyncio.Event()
        services.orders.respond("GET", "/products", {}, until=released)
        async with open_gateway(environment="development", max_concurrent_calls=1) as gateway:
            calls = [asyncio.create_task(gateway.get("/v2/products")) for _ in range(2)]

            async def bulkhead() -> dict[str, int]:
                state = (await gateway.get("/browser/resilience")).json()
                found: dict[str, int] = state["upstreams"]["orders"]["bulkhead"]
                return found

            async def is_full() -> bool:
                return await bulkhead() == {"in_use": 1, "limit": 1, "waiting": 1}

            await eventually(is_full)
            released.set()
            assert {(await call).status_code for call in calls} == {200}
            assert (await bulkhead())["in_use"] == 0

    async def test_open_circuit_and_shed_requests_are_shown(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        settings = {"orders_url": nowhere, "retries_per_second": 0, "max_concurrent_requests": 2}
        users = services.users
        users.respond("POST", "/users", {}, status=201, until=asyncio.Event())
        async with open_gateway(environment="development", **settings) as gateway:
            for _ in range(12):
                assert (await gateway.get("/v2/products")).status_code == 503
            state = (await gateway.get("/browser/resilience")).json()
            assert state["upstreams"]["orders"]["circuit"] == "open"
            assert state["upstreams"]["orders"]["retry_budget"]["tokens"] < 10
            assert state["upstreams"]["users"]["circuit"] == "closed"
            waiting = asyncio.create_task(gateway.post("/v2/users", json={}))
            await eventually(lambda: users.requests)
            assert (await gateway.get("/v2/products")).json()["type"].endswith("/overloaded")
            waiting.cancel()

            async def shed() -> int:
                response = await gateway.get("/browser/resilience")
                return int(response.json()["requests"]["shed"]) if response.is_success else 0

            await eventually(shed)


@pytest.mark.parametrize("prefix", ["", "/v1", "/v2"])
async def test_routes_are_not_documented(open_gateway: OpenGateway, services: Services, prefix: str) -> None:
    receiver = services.urls["users_url"]  # the routes for telemetry need an address
    async with open_gateway(environment="development", otel_exporter_otlp_endpoint=receiver) as gateway:
        paths = (await gateway.get(f"{prefix}/openapi.json")).json()["paths"]
    assert paths
    assert not [path for path in paths if path.startswith("/browser")]
