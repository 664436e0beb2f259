"""Aggregates of the responses of several services."""

import asyncio
import time
from typing import cast
from uuid import uuid4

import httpx
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services

from gateway.clients import Upstream
from gateway.service import AggregateService
from shared.auth import Identity, Role
from shared.errors.problems import NotFoundError, UnavailableError
from testkit.apps import free_port
from testkit.waiting import eventually

ORDER = "0198b7f0-0000-7000-8000-00000000000a"
USER = b'{"id": "u", "name" : "Ann"}'
ORDERS = b'[ {"id":"o", "total_cents": 1e2} ]'
DIGEST = b'{"unread":3,"latest":[]}'


@pytest.fixture
def upstreams(services: Services) -> Services:
    """Return fake services with the responses that a dashboard and a summary need."""
    services.users.respond("GET", "/users/me", USER)
    services.orders.respond("GET", "/orders/recent", ORDERS)
    services.notifications.respond("GET", "/notifications/summary", DIGEST)
    services.orders.respond("GET", f"/orders/{ORDER}", b'{"id":"o","user_id":"%b"}' % CALLER.encode())
    services.notifications.respond("GET", f"/notifications/for-subject/{ORDER}", b"[ {} ]")
    return services


class TestDashboard:
    async def test_dashboard_splices_three_responses(
        self, gateway: httpx.AsyncClient, upstreams: Services, token: dict[str, str]
    ) -> None:
        response = await gateway.get("/v2/dashboard", headers=token)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.content == (
            b'{"user":' + USER + b',"recent_orders":' + ORDERS + b',"notifications":' + DIGEST + b',"degraded":[]}'
        )
        assert [request.query for request in upstreams.orders.requests] == ["limit=5"]
        assert [request.query for request in upstreams.notifications.requests] == ["latest=5"]

    async def test_dashboard_calls_three_services_concurrently_with_the_token(
        self, gateway: httpx.AsyncClient, upstreams: Services, token: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        upstreams.users.respond("GET", "/users/me", {}, until=release)
        upstreams.orders.respond("GET", "/orders/recent", [], until=release)
        upstreams.notifications.respond("GET", "/notifications/summary", {}, until=release)
        pending = asyncio.create_task(gateway.get("/v2/dashboard", headers=token))
        services = (upstreams.users, upstreams.orders, upstreams.notifications)
        await eventually(lambda: all(service.in_flight == 1 for service in services))
        release.set()
        assert (await pending).json()["degraded"] == []
        assert {service.requests[-1].headers["authorization"] for service in services} == {token["Authorization"]}

    async def test_part_is_unavailable_when_a_service_is_slow(
        self, open_gateway: OpenGateway, upstreams: Services, token: dict[str, str]
    ) -> None:
        upstreams.orders.hang("GET", "/orders/recent")
        async with open_gateway(dashboard_seconds=1) as gateway:
            started = time.perf_counter()
            response = await gateway.get("/v2/dashboard", headers=token)
            assert time.perf_counter() - started < 10
        assert response.json()["recent_orders"] is None
        assert response.json()["user"]["name"] == "Ann"
        assert response.json()["notifications"]["unread"] == 3
        assert response.json()["degraded"] == ["orders"]
        await eventually(lambda: upstreams.orders.disconnected)

    async def test_parts_are_unavailable_when_services_fail(
        self, open_gateway: OpenGateway, upstreams: Services, token: dict[str, str]
    ) -> None:
        upstreams.users.respond_problem("GET", "/users/me", status=503, slug="unavailable")
        upstreams.notifications.respond("GET", "/notifications/summary", b"<html>", media_type="text/html")
        async with open_gateway(orders_url=f"http://127.0.0.1:{free_port()}") as gateway:
            response = await gateway.get("/v2/dashboard", headers=token)
        assert response.status_code == 200
        assert response.json() == {
            "user": None,
            "recent_orders": None,
            "notifications": None,
            "degraded": ["users", "orders", "notifications"],
        }

    async def test_response_is_401_when_a_service_rejects_the_token(
        self, gateway: httpx.AsyncClient, upstreams: Services, token: dict[str, str]
    ) -> None:
        challenge = 'Bearer realm="hopline", error="invalid_token"'
        upstreams.orders.respond_problem(
            "GET", "/orders/recent", status=401, slug="unauthorized", headers={"www-authenticate": challenge}
        )
        response = await gateway.get("/v2/dashboard", headers=token)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == challenge
        assert response.json()["instance"] == "/v2/dashboard"


class TestOrderSummary:
    async def test_summary_splices_order_user_and_notifications(
        self, gateway: httpx.AsyncClient, upstreams: Services, token: dict[str, str]
    ) -> None:
        response = await gateway.get(f"/v2/orders/{ORDER}/summary", headers=token)
        assert response.status_code == 200
        order = b'{"id":"o","user_id":"%b"}' % CALLER.encode()
        assert response.content == b'{"order":' + order + b',"user":' + USER + b',"notifications":[ {} ]}'

    async def test_other_calls_are_cancelled_when_one_fails(
        self, gateway: httpx.AsyncClient, upstreams: Services, token: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        upstreams.orders.respond_problem("GET", f"/orders/{ORDER}", status=404, slug="not-found", until=release)
        upstreams.users.hang("GET", "/users/me")
        upstreams.notifications.hang("GET", f"/notifications/for-subject/{ORDER}")
        pending = asyncio.create_task(gateway.get(f"/v2/orders/{ORDER}/summary", headers=token))
        await eventually(
            lambda: all(s.in_flight == 1 for s in (upstreams.users, upstreams.orders, upstreams.notifications))
        )
        release.set()
        response = await pending
        assert response.status_code == 404
        assert response.json()["instance"] == f"/v2/orders/{ORDER}/summary"
        await eventually(lambda: upstreams.users.disconnected == ["/users/me"])
        await eventually(lambda: upstreams.notifications.disconnected == [f"/notifications/for-subject/{ORDER}"])

    async def test_response_is_503_when_a_service_is_unreachable(
        self, open_gateway: OpenGateway, upstreams: Services, token: dict[str, str]
    ) -> None:
        async with open_gateway(notifications_url=f"http://127.0.0.1:{free_port()}") as gateway:
            response = await gateway.get(f"/v2/orders/{ORDER}/summary", headers=token)
        assert response.status_code == 503
        assert response.json()["detail"] == "notifications cannot be reached"

    async def test_response_is_403_when_an_admin_does_not_own_the_order(
        self, gateway: httpx.AsyncClient, upstreams: Services, admin: dict[str, str]
    ) -> None:
        assert (await gateway.get(f"/v2/orders/{ORDER}/summary", headers=admin)).status_code == 200
        upstreams.orders.respond("GET", f"/orders/{ORDER}", {"user_id": str(uuid4())})
        response = await gateway.get(f"/v2/orders/{ORDER}/summary", headers=admin)
        assert response.status_code == 403
        assert response.json()["type"].endswith("/summary-is-for-owners")


class Failing:
    """A service whose calls raise an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, *_args: object, **_options: object) -> bytes:
        raise self._error


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_unexpected_error_is_raised_before_problems_that_occur_with_it(first: int) -> None:
    errors = [RuntimeError("a bug"), NotFoundError("no such order"), UnavailableError("no database")]
    users, orders, notifications = (cast("Upstream", Failing(error)) for error in errors[first:] + errors[:first])
    service = AggregateService(
        users=users, orders=orders, notifications=notifications, dashboard_timeout_s=1, max_concurrent_lookups=1
    )
    with pytest.raises(RuntimeError, match="a bug"):
        await service.get_order_summary(uuid4(), Identity(user_id=uuid4(), role=Role.CUSTOMER), {})


class TestLookup:
    async def test_lookup_keeps_the_order_and_lists_the_missing(
        self, gateway: httpx.AsyncClient, services: Services, admin: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(4)]
        for known in (ids[0], ids[2]):
            services.users.respond("GET", f"/internal/users/{known}", {"id": known})
        response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": [*ids, ids[2]]})
        assert response.status_code == 200
        assert response.json() == {"items": [{"id": ids[0]}, {"id": ids[2]}], "missing": [ids[1], ids[3]]}
        assert services.users.requests[-1].headers["authorization"] == admin["Authorization"]

    async def test_lookup_makes_a_bounded_number_of_concurrent_calls(
        self, open_gateway: OpenGateway, services: Services, admin: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        ids = [str(uuid4()) for _ in range(30)]
        for user_id in ids:
            services.users.respond("GET", f"/internal/users/{user_id}", {"id": user_id}, until=release)
        async with open_gateway(max_concurrent_lookups=4) as gateway:
            pending = asyncio.create_task(gateway.post("/v2/users/lookup", headers=admin, json={"ids": ids}))
            await eventually(lambda: services.users.in_flight == 4)
            release.set()
            assert [user["id"] for user in (await pending).json()["items"]] == ids
        assert services.users.max_in_flight == 4

    async def test_lookup_fails_and_cancels_the_rest_when_one_call_fails(
        self, open_gateway: OpenGateway, services: Services, admin: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(20)]
        services.users.respond_problem("GET", f"/internal/users/{ids[0]}", status=503, slug="unavailable")
        for user_id in ids[1:]:
            services.users.hang("GET", f"/internal/users/{user_id}")
        async with open_gateway(max_concurrent_lookups=2, retries_per_second=0) as gateway:
            response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": ids})
            assert response.status_code == 503
            assert response.json()["instance"] == "/v2/users/lookup"
            await eventually(lambda: services.users.in_flight == 0)
        assert len(services.users.requests) <= 3, "the failed call, the one in flight, and the next one at most"

    @pytest.mark.parametrize("body", [{"ids": ["x"]}, {"ids": [CALLER] * 101}, {}, {"ids": [], "all": True}])
    async def test_lookup_is_rejected_when_the_body_is_invalid(
        self, gateway: httpx.AsyncClient, admin: dict[str, str], body: dict[str, object]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=admin, json=body)
        assert response.status_code == 422
        assert response.json()["errors"]

    async def test_lookup_is_empty_when_no_ids_are_given(
        self, gateway: httpx.AsyncClient, admin: dict[str, str]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": []})
        assert response.json() == {"items": [], "missing": []}

    async def test_lookup_is_rejected_when_the_caller_is_not_an_admin(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=token, json={"ids": [CALLER]})
        assert response.status_code == 403
        assert services.users.requests == []
