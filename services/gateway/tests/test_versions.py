"""Version 1 with its older schemas and deprecation headers, and requests without a version in the path."""

from email.utils import parsedate_to_datetime

import httpx
import orjson
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services

from gateway.routes import v1

ORDER = "0198b7f0-0000-7000-8000-00000000000a"
TOO_LARGE = b"x" * 70_000
USER = {"id": CALLER, "email": "ann@hopline.example", "name": "Ann", "role": "customer", "created_at": "2026-11-24"}


class TestVersionOne:
    async def test_user_has_no_role_in_version_one(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        for method, path, status in (("POST", "/users", 201), ("GET", "/users/me", 200), ("PATCH", "/users/me", 200)):
            services.users.respond(method, path, USER, status=status)
            response = await gateway.request(method, f"/v1{path}", headers=customer_headers)
            assert response.status_code == status
            assert response.json() == {"id": CALLER, "email": "ann@hopline.example", "name": "Ann"}
            assert response.headers["content-length"] == str(len(response.content))

    async def test_body_is_not_converted_when_the_response_is_304(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", b"", status=304, headers={"etag": '"1"'})
        response = await gateway.get("/v1/users/me", headers={**customer_headers, "If-None-Match": '"1"'})
        assert (response.status_code, response.headers["etag"], response.content) == (304, '"1"', b"")

    async def test_body_is_not_converted_when_the_response_is_a_problem(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.respond_problem("GET", "/users/me", status=404, slug="user-not-found")
        response = await gateway.get("/v1/users/me", headers=customer_headers)
        assert response.status_code == 404
        assert response.json()["type"].endswith("/user-not-found")
        assert response.json()["instance"] == "/v1/users/me"

    async def test_orders_are_a_list_selected_by_offset(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/orders/recent", [{"id": ORDER}])
        response = await gateway.get("/v1/orders?limit=2&offset=4", headers=customer_headers)
        assert response.json() == [{"id": ORDER}]
        assert [request.query for request in services.orders.requests] == ["limit=2&offset=4"]

    async def test_problem_instance_is_the_path_of_the_client(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond_problem("GET", "/orders/recent", status=503, slug="unavailable")
        response = await gateway.get("/v1/orders", headers=customer_headers)
        assert response.json()["instance"] == "/v1/orders"

    async def test_offset_is_rejected_when_it_is_above_the_limit(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        response = await gateway.get("/v1/orders?offset=1001", headers=customer_headers)
        assert response.status_code == 422
        assert [error["field"] for error in response.json()["errors"]] == ["offset"]
        assert services.orders.requests == []

    async def test_location_is_below_the_requested_version(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201, headers={"location": f"/orders/{ORDER}"})
        response = await gateway.post("/v1/orders", headers=customer_headers, json={})
        assert response.headers["location"] == f"/v1/orders/{ORDER}"

    async def test_response_is_404_when_version_one_does_not_have_the_route(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        for path in ("/dashboard", "/notifications", f"/orders/{ORDER}/summary"):
            assert (await gateway.get(f"/v1{path}", headers=customer_headers)).status_code == 404
        assert services.orders.requests + services.notifications.requests == []

    async def test_documentation_lists_every_operation_of_version_one_as_deprecated(
        self, gateway: httpx.AsyncClient
    ) -> None:
        assert "/v1/openapi.json" in (await gateway.get("/v1/docs")).text
        operations = [
            operation
            for path in (await gateway.get("/v1/openapi.json")).json()["paths"].values()
            for operation in path.values()
        ]
        assert len(operations) == len(v1.router.routes)
        assert all(operation["deprecated"] for operation in operations)


class TestDeprecation:
    async def test_every_response_of_version_one_has_deprecation_headers(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {}, headers={"link": '</terms>; rel="license"'})
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
            response = await gateway.request(method, path, content=TOO_LARGE if status == 413 else b"")
            assert response.status_code == status
            since, sunset = response.headers["deprecation"], parsedate_to_datetime(response.headers["sunset"])
            assert since == f"@{int(v1.DEPRECATION.since.timestamp())}"
            assert sunset == v1.DEPRECATION.sunset > v1.DEPRECATION.since
            successor = path.replace("/v1", "/v2")
            assert response.headers.get_list("link")[-1] == f'<{successor}>; rel="successor-version"'

    async def test_responses_outside_of_version_one_have_no_deprecation_headers(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        for path in ("/v2/products", "/v2/nothing", "/", "/health/live", "/v10", "/nothing"):
            response = await gateway.get(path)
            assert not {"deprecation", "sunset", "link"} & set(response.headers), path


class TestVersionByHeader:
    async def test_requested_version_or_the_current_one_is_served(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", USER, headers={"vary": "Accept"})
        for given, has_role in ((None, True), ("2", True), ("V2", True), ("1", False), ("v1", False)):
            version = {"API-Version": given} if given else {}
            response = await gateway.get("/users/me", headers={**customer_headers, **version})
            assert response.status_code == 200
            assert ("role" in response.json()) == has_role, given
            assert ("deprecation" in response.headers) != has_role, given
            assert response.headers["vary"] == "Accept, API-Version"

    async def test_response_is_400_when_the_version_is_unknown(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        for version in ("3", "0", "v", "two", "1.0", "", "11", "vv2", "v2,v1"):
            response = await gateway.get("/products", headers={"API-Version": version})
            assert response.status_code == 400, version
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["vary"] == "API-Version"
            problem = response.json()
            assert problem["type"].endswith("/unknown-version")
            assert problem["instance"] == "/products"
            assert problem["trace_id"] == response.headers["traceresponse"].split("-")[1]
        assert services.orders.requests == []

    async def test_location_is_below_the_version_of_the_header(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201, headers={"location": f"/orders/{ORDER}"})
        response = await gateway.post("/orders", headers={**customer_headers, "API-Version": "1"}, json={})
        assert response.headers["location"] == f"/v1/orders/{ORDER}"
        assert response.headers["link"] == '</v2/orders>; rel="successor-version"'

    async def test_header_is_ignored_when_the_path_has_no_versions(self, gateway: httpx.AsyncClient) -> None:
        for path in ("/", "/health/live", "/assets/swagger-ui.css", "/v2/docs"):
            response = await gateway.get(path, headers={"API-Version": "9"})
            assert response.status_code == 200
            assert "API-Version" not in response.headers.get("vary", "")

    async def test_access_log_record_names_the_route_when_the_path_has_no_version(
        self, open_gateway: OpenGateway, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        services.orders.respond("GET", "/products/mug", {})
        async with open_gateway() as gateway:
            await gateway.get("/products/mug")
        [line] = [line for line in capsys.readouterr().out.splitlines() if '"http_request"' in line]
        assert orjson.loads(line)["http.route"] == "/products/{sku}"
