"""Answers made of several services' answers."""

import asyncio
import time
from uuid import uuid4

import httpx
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services

from testkit.apps import free_port
from testkit.waiting import eventually

ORDER = "0198b7f0-0000-7000-8000-00000000000a"
USER = b'{"id": "u", "name" : "Ann"}'
ORDERS = b'[ {"id":"o", "total_cents": 1e2} ]'
DIGEST = b'{"unread":3,"latest":[]}'


@pytest.fixture
def well(services: Services) -> Services:
    """Services that answer what a dashboard and a summary ask for."""
    services.users.answers("GET", "/users/me", USER)
    services.orders.answers("GET", "/orders/recent", ORDERS)
    services.notifications.answers("GET", "/notifications/summary", DIGEST)
    services.orders.answers("GET", f"/orders/{ORDER}", b'{"id":"o","user_id":"%b"}' % CALLER.encode())
    services.notifications.answers("GET", f"/notifications/for-subject/{ORDER}", b"[ {} ]")
    return services


class TestDashboard:
    async def test_splices_what_three_services_say(
        self, gateway: httpx.AsyncClient, well: Services, token: dict[str, str]
    ) -> None:
        response = await gateway.get("/v2/dashboard", headers=token)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.content == (
            b'{"user":' + USER + b',"recent_orders":' + ORDERS + b',"notifications":' + DIGEST + b',"degraded":[]}'
        )
        assert [seen.query for seen in well.orders.seen] == ["limit=5"]
        assert [seen.query for seen in well.notifications.seen] == ["latest=5"]

    async def test_asks_all_three_at_once_in_the_callers_name(
        self, gateway: httpx.AsyncClient, well: Services, token: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        well.users.answers("GET", "/users/me", {}, until=release)
        well.orders.answers("GET", "/orders/recent", [], until=release)
        well.notifications.answers("GET", "/notifications/summary", {}, until=release)
        answer = asyncio.create_task(gateway.get("/v2/dashboard", headers=token))
        services = (well.users, well.orders, well.notifications)
        await eventually(lambda: all(service.at_once == 1 for service in services))
        release.set()
        assert (await answer).json()["degraded"] == []
        assert {service.seen[-1].headers["authorization"] for service in services} == {token["Authorization"]}

    async def test_a_slow_service_leaves_a_hole_in_its_own_time(
        self, open_gateway: OpenGateway, well: Services, token: dict[str, str]
    ) -> None:
        well.orders.hangs("GET", "/orders/recent")
        async with open_gateway(dashboard_seconds=1) as gateway:
            started = time.perf_counter()
            response = await gateway.get("/v2/dashboard", headers=token)
            assert time.perf_counter() - started < 10
        assert response.json()["recent_orders"] is None
        assert response.json()["user"]["name"] == "Ann"
        assert response.json()["notifications"]["unread"] == 3
        assert response.json()["degraded"] == ["orders"]
        await eventually(lambda: well.orders.abandoned)

    async def test_absent_failing_and_babbling_services_leave_holes(
        self, open_gateway: OpenGateway, well: Services, token: dict[str, str]
    ) -> None:
        well.users.refuses("GET", "/users/me", status=503, slug="unavailable")
        well.notifications.answers("GET", "/notifications/summary", b"<html>", media_type="text/html")
        async with open_gateway(orders_url=f"http://127.0.0.1:{free_port()}") as gateway:
            response = await gateway.get("/v2/dashboard", headers=token)
        assert response.status_code == 200
        assert response.json() == {
            "user": None,
            "recent_orders": None,
            "notifications": None,
            "degraded": ["users", "orders", "notifications"],
        }

    async def test_a_token_that_a_service_refuses_is_no_hole(
        self, gateway: httpx.AsyncClient, well: Services, token: dict[str, str]
    ) -> None:
        challenge = 'Bearer realm="hopline", error="invalid_token"'
        well.orders.refuses(
            "GET", "/orders/recent", status=401, slug="unauthorized", headers={"www-authenticate": challenge}
        )
        response = await gateway.get("/v2/dashboard", headers=token)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == challenge
        assert response.json()["instance"] == "/v2/dashboard"


class TestOrderSummary:
    async def test_splices_order_user_and_notifications(
        self, gateway: httpx.AsyncClient, well: Services, token: dict[str, str]
    ) -> None:
        response = await gateway.get(f"/v2/orders/{ORDER}/summary", headers=token)
        assert response.status_code == 200
        order = b'{"id":"o","user_id":"%b"}' % CALLER.encode()
        assert response.content == b'{"order":' + order + b',"user":' + USER + b',"notifications":[ {} ]}'

    async def test_one_refusal_is_the_answer_and_cancels_the_others(
        self, gateway: httpx.AsyncClient, well: Services, token: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        well.orders.refuses("GET", f"/orders/{ORDER}", status=404, slug="not-found", until=release)
        well.users.hangs("GET", "/users/me")
        well.notifications.hangs("GET", f"/notifications/for-subject/{ORDER}")
        answer = asyncio.create_task(gateway.get(f"/v2/orders/{ORDER}/summary", headers=token))
        await eventually(lambda: all(s.at_once == 1 for s in (well.users, well.orders, well.notifications)))
        release.set()
        response = await answer
        assert response.status_code == 404
        assert response.json()["instance"] == f"/v2/orders/{ORDER}/summary"
        await eventually(lambda: well.users.abandoned == ["/users/me"])
        await eventually(lambda: well.notifications.abandoned == [f"/notifications/for-subject/{ORDER}"])

    async def test_one_absent_service_is_the_answer(
        self, open_gateway: OpenGateway, well: Services, token: dict[str, str]
    ) -> None:
        async with open_gateway(notifications_url=f"http://127.0.0.1:{free_port()}") as gateway:
            response = await gateway.get(f"/v2/orders/{ORDER}/summary", headers=token)
        assert response.status_code == 503
        assert response.json()["detail"] == "notifications cannot be reached"

    async def test_an_admin_gets_no_summary_of_somebody_elses_order(
        self, gateway: httpx.AsyncClient, well: Services, admin: dict[str, str]
    ) -> None:
        assert (await gateway.get(f"/v2/orders/{ORDER}/summary", headers=admin)).status_code == 200
        well.orders.answers("GET", f"/orders/{ORDER}", {"user_id": str(uuid4())})
        response = await gateway.get(f"/v2/orders/{ORDER}/summary", headers=admin)
        assert response.status_code == 403
        assert response.json()["type"].endswith("/summary-is-for-owners")


class TestLookup:
    async def test_keeps_the_order_and_names_the_missing(
        self, gateway: httpx.AsyncClient, services: Services, admin: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(4)]
        for known in (ids[0], ids[2]):
            services.users.answers("GET", f"/internal/users/{known}", {"id": known})
        response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": [*ids, ids[2]]})
        assert response.status_code == 200
        assert response.json() == {"items": [{"id": ids[0]}, {"id": ids[2]}], "missing": [ids[1], ids[3]]}
        assert services.users.seen[-1].headers["authorization"] == admin["Authorization"]

    async def test_asks_for_a_bounded_number_at_once(
        self, open_gateway: OpenGateway, services: Services, admin: dict[str, str]
    ) -> None:
        release = asyncio.Event()
        ids = [str(uuid4()) for _ in range(30)]
        for user_id in ids:
            services.users.answers("GET", f"/internal/users/{user_id}", {"id": user_id}, until=release)
        async with open_gateway(lookups_at_once=4) as gateway:
            answer = asyncio.create_task(gateway.post("/v2/users/lookup", headers=admin, json={"ids": ids}))
            await eventually(lambda: services.users.at_once == 4)
            release.set()
            assert [user["id"] for user in (await answer).json()["items"]] == ids
        assert services.users.most_at_once == 4

    async def test_a_failure_is_the_answer_and_stops_the_rest(
        self, open_gateway: OpenGateway, services: Services, admin: dict[str, str]
    ) -> None:
        ids = [str(uuid4()) for _ in range(20)]
        services.users.refuses("GET", f"/internal/users/{ids[0]}", status=503, slug="unavailable")
        for user_id in ids[1:]:
            services.users.hangs("GET", f"/internal/users/{user_id}")
        async with open_gateway(lookups_at_once=2) as gateway:
            response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": ids})
            assert response.status_code == 503
            assert response.json()["instance"] == "/v2/users/lookup"
            await eventually(lambda: services.users.at_once == 0)
        assert len(services.users.seen) <= 4  # the keys, the failed one, and what had begun

    @pytest.mark.parametrize("body", [{"ids": ["x"]}, {"ids": [CALLER] * 101}, {}, {"ids": [], "all": True}])
    async def test_refuses_what_it_does_not_understand(
        self, gateway: httpx.AsyncClient, admin: dict[str, str], body: dict[str, object]
    ) -> None:
        response = await gateway.post("/v2/users/lookup", headers=admin, json=body)
        assert response.status_code == 422
        assert response.json()["errors"]

    async def test_nobody_is_found_by_nobody(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
        response = await gateway.post("/v2/users/lookup", headers=admin, json={"ids": []})
        assert response.json() == {"items": [], "missing": []}

    async def test_is_for_admins(self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]) -> None:
        response = await gateway.post("/v2/users/lookup", headers=token, json={"ids": [CALLER]})
        assert response.status_code == 403
        assert services.users.seen == []
