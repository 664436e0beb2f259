"""Aggregates of the responses of several services."""

import asyncio
import time
from typing import cast
from uuid import uuid4

import httpx
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

from gateway.clients import Upstream
from gateway.service import AggregateService
from shared.auth import Identity, Role
from shared.errors.problems import NotFoundError, UnavailableError
from testkit.waiting import eventually

ORDER_ID = "0198b7f0-0000-7000-8000-00000000000a"

# An encoder would remove the spaces and write 1e2 as 100.0, so equal bytes show that the parts are not encoded again.
USER = b'{"id": "u", "name" : "Ann"}'
RECENT_ORDERS = b'[ {"id":"o", "total_cents": 1e2} ]'
DIGEST = b'{"unread":3,"latest":[]}'
ORDER = b'{"id" : "o","user_id":"%b"}' % CALLER.encode()
NOTIFICATIONS = b"[ {} ]"

MAX_IDS = 100
"""Ids of one lookup."""


@pytest.fixture
def upstreams(services: Services) -> Services:
    """Return fake services with the responses that a dashboard and a summary need."""
    services.users.respond("GET", "/users/me", USER)
    services.orders.respond("GET", "/orders/recent", RECENT_ORDERS)
    services.notifications.respond("GET", "/notifications/summary", DIGEST)
    services.orders.respond("GET", f"/orders/{ORDER_ID}", ORDER)
    services.notifications.respond("GET", f"/notifications/for-subject/{ORDER_ID}", NOTIFICATIONS)
    return services


class TestDashboard:
    async def test_dashboard_splices_three_responses(
        self, gateway: httpx.AsyncClient, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        response = await gateway.get("/v2/dashboard", headers=customer_headers)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.content == (
            b'{"user":'
            + USER
            + b',"recent_orders":'
            + RECENT_ORDERS
            + b',"notifications":'
            + DIGEST
            + b',"degraded":[]}'
        )
        assert [request.query for request in upstreams.orders.requests] == ["limit=5"]
        assert [request.query for request in upstreams.notifications.requests] == ["latest=5"]

    async def test_dashboard_calls_three_services_concurrently_with_the_access_token(
        self, gateway: httpx.AsyncClient, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        upstreams.users.respond("GET", "/users/me", {}, until=release)
        upstreams.orders.respond("GET", "/orders/recent", [], until=release)
        upstreams.notifications.respond("GET", "/notifications/summary", {}, until=release)
        pending = asyncio.create_task(gateway.get("/v2/dashboard", headers=customer_headers))
        await eventually(lambda: all(service.in_flight == 1 for service in upstreams.fakes))
        release.set()
        assert (await pending).json()["degraded"] == []
        for service in upstreams.fakes:
            assert service.requests[-1].headers["authorization"] == customer_headers["Authorization"]

    async def test_part_is_null_when_its_service_is_slow(
        self, open_gateway: OpenGateway, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        upstreams.orders.hang("GET", "/orders/recent")
        async with open_gateway(dashboard_seconds=1) as gateway:
            started = time.perf_counter()
            response = await gateway.get("/v2/dashboard", headers=customer_headers)
            assert time.perf_counter() - started < 10, "the dashboard waited for upstream_seconds, which is 20"
        assert response.json()["recent_orders"] is None
        assert response.json()["user"]["name"] == "Ann"
        assert response.json()["notifications"]["unread"] == 3
        assert response.json()["degraded"] == ["orders"]
        await eventually(lambda: upstreams.orders.disconnected)

    async def test_parts_are_null_when_their_services_fail(
        self, open_gateway: OpenGateway, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        upstreams.users.respond_problem("GET", "/users/me", status=503, slug="unavailable")
        upstreams.notifications.respond("GET", "/notifications/summary", b"<html>", media_type="text/html")
        async with open_gateway(orders_url=unreachable_url()) as gateway:
            response = await gateway.get("/v2/dashboard", headers=customer_headers)
        assert response.status_code == 200
        assert response.json() == {
            "user": None,
            "recent_orders": None,
            "notifications": None,
            "degraded": ["users", "orders", "notifications"],
        }

    async def test_response_is_401_when_a_service_rejects_the_token(
        self, gateway: httpx.AsyncClient, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        challenge = 'Bearer realm="hopline", error="invalid_token"'
        upstreams.orders.respond_problem(
            "GET", "/orders/recent", status=401, slug="unauthorized", headers={"www-authenticate": challenge}
        )
        response = await gateway.get("/v2/dashboard", headers=customer_headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == challenge
        assert response.json()["instance"] == "/v2/dashboard"


class TestOrderSummary:
    async def test_summary_splices_order_user_and_notifications(
        self, gateway: httpx.AsyncClient, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        response = await gateway.get(f"/v2/orders/{ORDER_ID}/summary", headers=customer_headers)
        assert response.status_code == 200
        assert response.content == (
            b'{"order":' + ORDER + b',"user":' + USER + b',"notifications":' + NOTIFICATIONS + b"}"
        )

    async def test_other_calls_are_cancelled_when_one_fails(
        self, gateway: httpx.AsyncClient, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        upstreams.orders.respond_problem("GET", f"/orders/{ORDER_ID}", status=404, slug="not-found", until=release)
        upstreams.users.hang("GET", "/users/me")
        upstreams.notifications.hang("GET", f"/notifications/for-subject/{ORDER_ID}")
        pending = asyncio.create_task(gateway.get(f"/v2/orders/{ORDER_ID}/summary", headers=customer_headers))
        await eventually(lambda: all(service.in_flight == 1 for service in upstreams.fakes))
        release.set()
        response = await pending
        assert response.status_code == 404
        assert response.json()["instance"] == f"/v2/orders/{ORDER_ID}/summary"
        await eventually(lambda: upstreams.users.disconnected == ["/users/me"])
        await eventually(lambda: upstreams.notifications.disconnected == [f"/notifications/for-subject/{ORDER_ID}"])

    async def test_response_is_503_when_a_service_is_unreachable(
        self, open_gateway: OpenGateway, upstreams: Services, customer_headers: dict[str, str]
    ) -> None:
        async with open_gateway(notifications_url=unreachable_url()) as gateway:
            response = await gateway.get(f"/v2/orders/{ORDER_ID}/summary", headers=customer_headers)
        assert response.status_code == 503
        assert response.json()["detail"] == "notifications cannot be reached"

    async def test_response_is_403_when_an_admin_does_not_own_the_order(
        self, gateway: httpx.AsyncClient, upstreams: Services, admin_headers: dict[str, str]
    ) -> None:
        assert (await gateway.get(f"/v2/orders/{ORDER_ID}/summary", headers=admin_headers)).status_code == 200
        upstreams.orders.respond("GET", f"/orders/{ORDER_ID}", {"user_id": str(uuid4())})
        response = await gateway.get(f"/v2/orders/{ORDER_ID}/summary", headers=admin_headers)
        assert response.status_code == 403
        assert response.json()["type"].endswith("/summary-is-for-owners")


class FailingUpstream:
    """Replaces the client of a service. Its calls raise `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, *_args: object, **_options: object) -> bytes:
        raise self._error


@pytest.mark.parametrize("bug_at", [0, 1, 2])
async def test_summary_raises_the_unexpected_error_when_other_calls_fail_with_problems(bug_at: int) -> None:
    errors: list[Exception] = [NotFoundError("no such order"), UnavailableError("no database")]
    errors.insert(bug_at, RuntimeError("a bug"))
    users, orders, notifications = (cast("Upstream", FailingUpstream(error)) for error in errors)
    service = AggregateService(
        users=users, orders=orders, notifications=notifications, dashboard_timeout_s=1, max_concurrent_lookups=1
    )
    with pytest.raises(RuntimeError, match="a bug"):
        await service.get_order_summary(uuid4(), Identity(user_id=uuid4(), role=Role.CUSTOMER), {})


class TestLookup:
    async def test_lookup_keeps_the_order_of_ids_and_lists_missing_users(
        self, gateway: httpx.AsyncClient, services: Services, admin_headers: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(4)]
        for known in (ids[0], ids[2]):
            services.users.respond("GET", f"/internal/users/{known}", {"id": known})
        response = await gateway.post("/v2/users/lookup", headers=admin_headers, json={"ids": [*ids, ids[2]]})
        assert response.status_code == 200
        assert response.json() == {"items": [{"id": ids[0]}, {"id": ids[2]}], "missing": [ids[1], ids[3]]}
        assert services.users.requests[-1].headers["authorization"] == admin_headers["Authorization"]

    async def test_lookup_makes_a_limited_number_of_concurrent_calls(
        self, open_gateway: OpenGateway, services: Services, admin_headers: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        ids = [str(uuid4()) for _ in range(30)]
        for user_id in ids:
            services.users.respond("GET", f"/internal/users/{user_id}", {"id": user_id}, until=release)
        limit = 4
        async with open_gateway(max_concurrent_lookups=limit) as gateway:
            pending = asyncio.create_task(gateway.post("/v2/users/lookup", headers=admin_headers, json={"ids": ids}))
            await eventually(lambda: services.users.in_flight == limit)
            release.set()
            assert [user["id"] for user in (await pending).json()["items"]] == ids
        assert services.users.max_in_flight == limit

    async def test_lookup_fails_and_cancels_the_other_calls_when_one_call_fails(
        self, open_gateway: OpenGateway, services: Services, admin_headers: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(20)]
        services.users.respond_problem("GET", f"/internal/users/{ids[0]}", status=503, slug="unavailable")
        for user_id in ids[1:]:
            services.users.hang("GET", f"/internal/users/{user_id}")
        async with open_gateway(max_concurrent_lookups=2, retries_per_second=0) as gateway:
            response = await gateway.post("/v2/users/lookup", headers=admin_headers, json={"ids": ids})
            assert response.status_code == 503
            assert response.json()["instance"] == "/v2/users/lookup"
            await eventually(lambda: services.users.in_flight == 0)
        assert len(services.users.requests) <= 3, "the failed call, the one in flight, and the next one at most"

    @pytest.mark.parametrize("body", [{"ids": ["x"]}, {"ids": [CALLER] * (MAX_IDS + 1)}, {}, {"ids": [], "all": True}])
    async def test_lookup_is_rejected_when_the_body_is_invalid(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str], body: dict[str, object]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=admin_headers, json=body)
        assert response.status_code == 422
        assert response.json()["errors"]

    async def test_lookup_is_empty_when_no_ids_are_given(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=admin_headers, json={"ids": []})
        assert response.json() == {"items": [], "missing": []}

    async def test_lookup_is_rejected_when_the_caller_is_not_an_admin(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=customer_headers, json={"ids": [CALLER]})
        assert response.status_code == 403
        assert services.users.requests == []
