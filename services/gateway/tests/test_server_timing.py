"""`Server-Timing`: every response for which a service was called has the durations of the calls."""

import re
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

from gateway.server_timing import MAX_CALLS

ENTRY = re.compile(r'(?P<name>[\w-]+);dur=(?P<milliseconds>\d+\.\d)(;desc="(?P<description>[^"]+)")?')


@dataclass(frozen=True)
class Timing:
    """One entry of the header."""

    name: str
    milliseconds: float
    description: str | None


def parse_timings(response: httpx.Response) -> list[Timing]:
    timings = []
    for entry in response.headers["server-timing"].split(", "):
        match = ENTRY.fullmatch(entry)
        assert match, entry
        timings.append(Timing(match["name"], float(match["milliseconds"]), match["description"]))
    return timings


class TestForwardedResponses:
    @pytest.mark.parametrize("path", ["/v2/products", "/v1/products", "/products"])
    async def test_call_and_total_are_listed(self, gateway: httpx.AsyncClient, services: Services, path: str) -> None:
        services.orders.respond("GET", "/products", {"items": []})
        response = await gateway.get(path)
        assert response.status_code == 200
        call, total = parse_timings(response)
        assert (call.name, call.description, total.name) == ("orders", None, "total")
        assert 0 < call.milliseconds <= total.milliseconds <= response.elapsed.total_seconds() * 1000

    async def test_attempts_are_described_when_the_call_was_retried(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.fail_first("GET", "/products", times=2)
        call, _ = parse_timings(await gateway.get("/v2/products"))
        assert call.description == "3 attempts"

    async def test_name_is_that_of_the_service_when_the_endpoint_is_expensive(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        response = await gateway.post("/v2/orders", headers=customer_headers, json={})
        assert [timing.name for timing in parse_timings(response)] == ["orders", "total"]

    async def test_call_is_listed_when_the_response_is_a_download(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        path = "/reports/0198b7f0-0000-7000-8000-00000000000a/download"
        services.orders.respond("GET", path, b"a,b", media_type="text/csv")
        response = await gateway.get(f"/v2{path}", headers=customer_headers)
        assert [timing.name for timing in parse_timings(response)] == ["orders", "total"]

    async def test_call_is_listed_when_it_failed(self, open_gateway: OpenGateway) -> None:
        async with open_gateway(orders_url=unreachable_url(), retries_per_second=0) as gateway:
            response = await gateway.get("/v2/products")
        assert response.status_code == 503
        assert [timing.name for timing in parse_timings(response)] == ["orders", "total"]

    async def test_header_is_missing_when_no_service_was_called(self, gateway: httpx.AsyncClient) -> None:
        for path in ("/v2/orders", "/nothing", "/", "/health/live"):
            assert "server-timing" not in (await gateway.get(path)).headers

    async def test_calls_of_earlier_requests_are_not_listed(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        for _ in range(3):
            assert len(parse_timings(await gateway.get("/v2/products"))) == 2


class TestAggregates:
    async def test_every_call_is_listed(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", {})
        services.orders.respond("GET", "/orders/recent", [])
        services.notifications.respond("GET", "/notifications/summary", {})
        *calls, total = parse_timings(await gateway.get("/v2/dashboard", headers=customer_headers))
        assert {call.name for call in calls} == {"users", "orders", "notifications"}
        assert len(calls) == 3
        assert total.milliseconds >= max(call.milliseconds for call in calls)

    async def test_number_of_listed_calls_is_limited(
        self, gateway: httpx.AsyncClient, services: Services, admin_headers: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(MAX_CALLS + 5)]
        for user_id in ids:
            services.users.respond("GET", f"/internal/users/{user_id}", {})
        response = await gateway.post("/v2/users/lookup", headers=admin_headers, json={"ids": ids})
        assert response.status_code == 200
        assert [timing.name for timing in parse_timings(response)] == [*["users"] * MAX_CALLS, "total"]
