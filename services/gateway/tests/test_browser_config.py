"""`/browser/config` and `/browser/resilience`: the configuration of the page, and the state of a gateway process."""

import asyncio
import os

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

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

    async def test_development_is_false_when_the_environment_is_production(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(environment="production") as gateway:
            config = (await gateway.get("/browser/config")).json()
        assert (config["environment"], config["development"]) == ("production", False)


class TestResilience:
    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_response_is_404_outside_of_development(self, open_gateway: OpenGateway, environment: str) -> None:
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
        release = asyncio.Event()
        services.orders.respond("GET", "/products", {}, until=release)
        async with open_gateway(environment="development", max_concurrent_calls=1) as gateway:
            calls = [asyncio.create_task(gateway.get("/v2/products")) for _ in range(2)]

            async def read_bulkhead() -> dict[str, int]:
                state = (await gateway.get("/browser/resilience")).json()
                bulkhead: dict[str, int] = state["upstreams"]["orders"]["bulkhead"]
                return bulkhead

            async def one_call_waits() -> bool:
                return await read_bulkhead() == {"in_use": 1, "limit": 1, "waiting": 1}

            await eventually(one_call_waits)
            release.set()
            assert {(await call).status_code for call in calls} == {200}
            assert (await read_bulkhead())["in_use"] == 0

    async def test_open_circuit_is_shown(self, open_gateway: OpenGateway) -> None:
        settings = {"orders_url": unreachable_url(), "retries_per_second": 0}
        async with open_gateway(environment="development", **settings) as gateway:
            for _ in range(12):  # ten failures open the circuit
                assert (await gateway.get("/v2/products")).status_code == 503
            upstreams = (await gateway.get("/browser/resilience")).json()["upstreams"]
        assert upstreams["orders"]["circuit"] == "open"
        assert upstreams["orders"]["retry_budget"]["tokens"] < 10
        assert upstreams["users"]["circuit"] == "closed"

    async def test_shed_requests_are_counted(self, open_gateway: OpenGateway, services: Services) -> None:
        services.users.hang("POST", "/users")
        async with open_gateway(environment="development", max_concurrent_requests=2) as gateway:
            hanging = asyncio.create_task(gateway.post("/v2/users", json={}))
            await eventually(lambda: services.users.in_flight)
            assert (await gateway.get("/v2/products")).json()["type"].endswith("/overloaded")
            hanging.cancel()

            async def one_request_was_shed() -> bool:
                response = await gateway.get("/browser/resilience")  # it is shed itself until the slot is released
                return response.is_success and bool(response.json()["requests"]["shed"])

            await eventually(one_request_was_shed)


@pytest.mark.parametrize("prefix", ["", "/v1", "/v2"])
async def test_routes_of_the_page_are_not_documented(exporting_gateway: httpx.AsyncClient, prefix: str) -> None:
    paths = (await exporting_gateway.get(f"{prefix}/openapi.json")).json()["paths"]
    assert paths
    assert not [path for path in paths if path.startswith("/browser")]
