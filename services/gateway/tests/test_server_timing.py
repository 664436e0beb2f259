"""`Server-Timing`: every response for which a service was called has the durations of the calls."""

import re
from dataclasses import dataclass

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services

from gateway.server_timing import MAX_CALLS
from testkit.apps import free_port

ENTRY = re.compile(r'(?P<name>[\w-]+);dur=(?P<milliseconds>\d+\.\d)(;desc="(?P<description>[^"]+)")?')
USER = "0198b7f0-0000-7000-8000-{:012d}"


@dataclass(frozen=True)
class Timing:
    name: str
    milliseconds: float
    description: str | None


def timings(response: httpx.Response) -> list[Timing]:
    found = []
    for entry in response.headers["server-timing"].split(", "):
        match = ENTRY.fullmatch(entry)
        assert match, entry
        found.append(Timing(match["name"], float(match["milliseconds"]), match["description"]))
    return found


class TestProxiedResponses:
    @pytest.mark.parametrize("path", ["/v2/products", "/v1/products", "/products"])
    async def test_call_and_total_are_listed(self, gateway: httpx.AsyncClient, services: Services, path: str) -> None:
        services.orders.respond("GET", "/products", {"items": []})
        response = await gateway.get(path)
        assert response.status_code == 200
        call, total = timings(response)
        assert (call.name, call.description, total.name) == ("orders", None, "total")
        assert 0 < call.milliseconds <= total.milliseconds <= response.elapsed.total_seconds() * 1000

    async def test_attempts_are_described_when_the_call_was_retried(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.fail_first("GET", "/products", times=2)
        call, _ = timings(await gateway.get("/v2/products"))
        assert call.description == "3 attempts"

    async def test_name_is_that_of_the_service_for_expensive_endpoints(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        response = await gateway.post("/v2/orders", headers=token, json={})
        assert [timing.name for timing in timings(response)] == ["orders", "total"]

    async def test_download_has_the_time_until_it_began(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        path = "/reports/0198b7f0-0000-7000-8000-00000000000a/download"
        services.orders.respond("GET", path, b"a,b", media_type="text/csv")
        response = await gateway.get(f"/v2{path}", headers=token)
        assert [timing.name for timing in timings(response)] == ["orders", "total"]

    async def test_failed_call_is_listed(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(orders_url=f"http://127.0.0.1:{free_port()}", retries_per_second=0) as gateway:
            response = await gateway.get("/v2/products")
        assert response.status_code == 503
        assert [timing.name for timing in timings(response)] == ["orders", "total"]

    async def test_response_without_a_call_has_no_header(self, gateway: httpx.AsyncClient) -> None:
        for path in ("/v2/orders", "/nothing", "/", "/health/live"):
            assert "server-timing" not in (await gateway.get(path)).headers

    async def test_calls_of_earlier_requests_are_not_listed(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        for _ in range(3):
            assert len(timings(await gateway.get("/v2/products"))) == 2


class TestAggregates:
    async def test_every_call_is_listed(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", {})
        services.orders.respond("GET", "/orders/recent", [])
        services.notifications.respond("GET", "/notifications/summary", {})
        *calls, total = timings(await gateway.get("/v2/dashboard", headers=token))
        assert {call.name for call in calls} == {"users", "orders", "notifications"}
        assert len(calls) == 3
        assert total.milliseconds >= max(call.milliseconds for call in calls)

    async def test_number_of_calls_is_bounded(
        self, gateway: httpx.AsyncClient, services: Services, admin: dict[str, str]
    ) -> None:
        ids = [USER.format(number) for number in range(MAX_CALLS + 5)]
        for user_id in ids:
            services.users.respond("GET", f"/internal/users/{user_id}", {})
        response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": ids})
        assert response.status_code == 200
        assert [timing.name for timing in timings(response)] == [*["users"] * MAX_CALLS, "total"]
