"""Version 1 with its older shapes and its end announced, and requests that name no version in their path."""

from email.utils import parsedate_to_datetime

import httpx
import orjson
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services

from gateway.routes import v1

ORDER = "0198b7f0-0000-7000-8000-00000000000a"
USER = {"id": CALLER, "email": "ann@hopline.example", "name": "Ann", "role": "customer", "created_at": "2026-11-24"}


class TestVersionOne:
    async def test_shows_a_user_as_it_was_before_roles(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        for method, path, status in (("POST", "/users", 201), ("GET", "/users/me", 200), ("PATCH", "/users/me", 200)):
            services.users.answers(method, path, USER, status=status)
            response = await gateway.request(method, f"/v1{path}", headers=token)
            assert response.status_code == status
            assert response.json() == {"id": CALLER, "email": "ann@hopline.example", "name": "Ann"}
            assert response.headers["content-length"] == str(len(response.content))

    async def test_has_no_shape_for_what_is_not_changed(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.users.answers("GET", "/users/me", b"", status=304, headers={"etag": '"1"'})
        response = await gateway.get("/v1/users/me", headers={**token, "If-None-Match": '"1"'})
        assert (response.status_code, response.headers["etag"], response.content) == (304, '"1"', b"")

    async def test_passes_a_refusal_on_as_it_is(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.users.refuses("GET", "/users/me", status=404, slug="user-not-found")
        response = await gateway.get("/v1/users/me", headers=token)
        assert response.status_code == 404
        assert response.json()["type"].endswith("/user-not-found")
        assert response.json()["instance"] == "/v1/users/me"

    async def test_lists_orders_by_offset_as_a_bare_list(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.answers("GET", "/orders/recent", [{"id": ORDER}])
        response = await gateway.get("/v1/orders?limit=2&offset=4", headers=token)
        assert response.json() == [{"id": ORDER}]
        assert [seen.query for seen in services.orders.seen] == ["limit=2&offset=4"]

    async def test_a_problem_with_the_list_names_the_clients_path(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.refuses("GET", "/orders/recent", status=503, slug="unavailable")
        response = await gateway.get("/v1/orders", headers=token)
        assert response.json()["instance"] == "/v1/orders"

    async def test_skips_no_further_than_the_bound(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        response = await gateway.get("/v1/orders?offset=1001", headers=token)
        assert response.status_code == 422
        assert [error["field"] for error in response.json()["errors"]] == ["offset"]
        assert services.orders.seen == []

    async def test_an_order_is_found_below_the_same_version(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.answers("POST", "/orders", {}, status=201, headers={"location": f"/orders/{ORDER}"})
        response = await gateway.post("/v1/orders", headers=token, json={})
        assert response.headers["location"] == f"/v1/orders/{ORDER}"

    async def test_has_nothing_of_what_came_later(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        for path in ("/dashboard", "/notifications", f"/orders/{ORDER}/summary"):
            assert (await gateway.get(f"/v1{path}", headers=token)).status_code == 404
        assert services.orders.seen + services.notifications.seen == []

    async def test_has_a_page_of_its_own(self, gateway: httpx.AsyncClient) -> None:
        assert "/v1/openapi.json" in (await gateway.get("/v1/docs")).text
        operations = [
            operation
            for path in (await gateway.get("/v1/openapi.json")).json()["paths"].values()
            for operation in path.values()
        ]
        assert len(operations) == len(v1.router.routes)
        assert all(operation["deprecated"] for operation in operations)


class TestRetirement:
    async def test_is_announced_by_every_answer(self, gateway: httpx.AsyncClient, services: Services) -> None:
        services.orders.answers("GET", "/products", {}, headers={"link": '</terms>; rel="license"'})
        for method, path, status in (
            ("GET", "/v1/products", 200),
            ("GET", "/v1/orders", 401),
            ("GET", "/v1/nothing", 404),
            ("DELETE", "/v1/orders", 405),
            ("POST", "/v1/orders", 413),
            ("GET", "/v1/docs", 200),
            ("GET", "/v1", 307),
            ("GET", "/v1/a%3E;b", 404),
        ):
            response = await gateway.request(method, path, content=b"x" * 70_000 if status == 413 else b"")
            assert response.status_code == status
            since, sunset = response.headers["deprecation"], parsedate_to_datetime(response.headers["sunset"])
            assert since == f"@{int(v1.RETIREMENT.since.timestamp())}"
            assert sunset == v1.RETIREMENT.sunset > v1.RETIREMENT.since
            successor = path.replace("/v1", "/v2")
            assert response.headers.get_list("link")[-1] == f'<{successor}>; rel="successor-version"'

    async def test_is_nobody_elses(self, gateway: httpx.AsyncClient, services: Services) -> None:
        services.orders.answers("GET", "/products", {})
        for path in ("/v2/products", "/v2/nothing", "/", "/health/live", "/v10", "/nothing"):
            response = await gateway.get(path)
            assert not {"deprecation", "sunset", "link"} & set(response.headers), path


class TestVersionByHeader:
    async def test_serves_what_was_asked_for_or_else_the_current(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.users.answers("GET", "/users/me", USER, headers={"vary": "Accept"})
        for given, has_role in ((None, True), ("2", True), ("V2", True), ("1", False), ("v1", False)):
            version = {"API-Version": given} if given else {}
            response = await gateway.get("/users/me", headers={**token, **version})
            assert response.status_code == 200
            assert ("role" in response.json()) == has_role, given
            assert ("deprecation" in response.headers) != has_role, given
            assert response.headers["vary"] == "Accept, API-Version"

    async def test_refuses_a_version_there_is_not(self, gateway: httpx.AsyncClient, services: Services) -> None:
        for version in ("3", "0", "v", "two", "1.0", "", "11", "vv2", "v2,v1"):
            response = await gateway.get("/products", headers={"API-Version": version})
            assert response.status_code == 400, version
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["vary"] == "API-Version"
            problem = response.json()
            assert problem["type"].endswith("/unknown-version")
            assert problem["instance"] == "/products"
            assert problem["trace_id"] == response.headers["traceresponse"].split("-")[1]
        assert services.orders.seen == []

    async def test_leads_to_where_the_version_is_mounted(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.answers("POST", "/orders", {}, status=201, headers={"location": f"/orders/{ORDER}"})
        response = await gateway.post("/orders", headers={**token, "API-Version": "1"}, json={})
        assert response.headers["location"] == f"/v1/orders/{ORDER}"
        assert response.headers["link"] == '</v2/orders>; rel="successor-version"'

    async def test_is_not_asked_where_there_is_only_one(self, gateway: httpx.AsyncClient) -> None:
        for path in ("/", "/health/live", "/assets/swagger-ui.css", "/v2/docs"):
            response = await gateway.get(path, headers={"API-Version": "9"})
            assert response.status_code == 200
            assert "vary" not in response.headers

    async def test_the_trace_names_the_route(
        self, open_gateway: OpenGateway, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        services.orders.answers("GET", "/products/mug", {})
        async with open_gateway() as gateway:
            await gateway.get("/products/mug")
        [line] = [line for line in capsys.readouterr().out.splitlines() if '"http_request"' in line]
        assert orjson.loads(line)["http.route"] == "/products/{sku}"
