"""Requests are forwarded to one service, and its responses to the client."""

from urllib.parse import parse_qsl

import httpx
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

from testkit.waiting import eventually

ORDER = "0198b7f0-0000-7000-8000-00000000000a"


class TestResponses:
    async def test_bytes_and_status_are_forwarded_unchanged(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        """An encoder would change the spaces, the numbers, the escapes and the repeated member of this JSON."""
        body = b'{ "id" : 1.50, "id": 2, "n": 12345678901234567890, "u": "\\u00e9\xc3\xa9" }\n'
        services.orders.respond("GET", f"/orders/{ORDER}", body)
        response = await gateway.get(f"/v2/orders/{ORDER}", headers=customer_headers)
        assert response.status_code == 200
        assert response.content == body
        assert response.headers["content-type"] == "application/json"

    async def test_only_listed_headers_are_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        forwarded = {
            "idempotency-replayed": "true",
            "retry-after": "7",
            "cache-control": "private",
            "etag": '"1"',
            "www-authenticate": 'Bearer realm="hopline"',
        }
        internal = {"x-internal-shard": "3", "x-request-id": "theirs", "traceresponse": "theirs", "set-cookie": "a=b"}
        hop_by_hop = {"keep-alive": "timeout=9", "proxy-authenticate": "Basic", "upgrade": "h2c"}
        services.orders.respond("POST", "/orders", {}, status=201, headers={**forwarded, **internal, **hop_by_hop})
        response = await gateway.post("/v2/orders", headers=customer_headers, json={})
        assert forwarded.items() <= dict(response.headers).items()
        assert not {"x-internal-shard", "set-cookie", *hop_by_hop} & set(response.headers)
        assert "theirs" not in response.headers.values()

    @pytest.mark.parametrize("location", [f"/orders/{ORDER}", f"/v2/orders/{ORDER}"])
    async def test_location_is_below_the_requested_version(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str], location: str
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201, headers={"location": location})
        response = await gateway.post("/v2/orders", headers=customer_headers, json={})
        assert response.headers["location"] == f"/v2/orders/{ORDER}"

    async def test_problem_instance_is_the_path_of_the_client(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond_problem("POST", f"/orders/{ORDER}/cancel", status=409, slug="not-cancellable")
        response = await gateway.post(f"/v2/orders/{ORDER}/cancel", headers=customer_headers)
        assert response.status_code == 409
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"].endswith("/not-cancellable")
        assert response.json()["instance"] == f"/v2/orders/{ORDER}/cancel"

    async def test_not_modified_is_forwarded_when_the_etag_matches(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", b"", status=304, headers={"etag": '"1"'})
        response = await gateway.get("/v2/products", headers={"If-None-Match": '"1"'})
        assert response.status_code == 304
        assert services.orders.requests[0].headers["if-none-match"] == '"1"'


class TestRequests:
    async def test_body_query_and_listed_headers_reach_the_service(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        body = b'{"items": [ {"sku":"\xc3\xa9", "quantity":1e0} ]}'
        given = {**customer_headers, "Idempotency-Key": "k-1", "Content-Type": "application/json; charset=utf-8"}
        await gateway.post("/v2/orders?dry=%20run&x=%2F%26", content=body, headers=given)
        [request] = services.orders.requests
        assert request.body == body
        assert parse_qsl(request.query, strict_parsing=True) == [("dry", " run"), ("x", "/&")]
        assert given.items() <= {name.title(): value for name, value in request.headers.items()}.items()

    @pytest.mark.parametrize("transport", ["aiohttp", "httptools"])
    async def test_header_is_forwarded_unchanged_when_it_is_not_ascii(
        self, open_gateway: OpenGateway, services: Services, transport: str
    ) -> None:
        services.orders.respond("GET", "/products", {})
        tag = '"müller"'.encode()
        async with open_gateway(http_transport=transport) as gateway:
            response = await gateway.get("/v2/products", headers={b"If-None-Match": tag})
        assert response.status_code == 200
        assert services.orders.requests[0].headers["if-none-match"].encode("latin-1") == tag

    async def test_form_is_forwarded_unparsed(self, gateway: httpx.AsyncClient, services: Services) -> None:
        services.users.respond("POST", "/tokens", {"access_token": "x"}, headers={"cache-control": "no-store"})
        response = await gateway.post(
            "/v2/tokens", data={"grant_type": "password", "username": "a@b", "password": "ü "}
        )
        assert response.headers["cache-control"] == "no-store"
        [request] = services.users.requests
        assert request.body == b"grant_type=password&username=a%40b&password=%C3%BC+"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"

    async def test_internal_headers_of_clients_are_not_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        internal = {
            "X-Forwarded-For": "10.0.0.1",
            "X-Forwarded-Prefix": "/internal",
            "X-User-Id": CALLER,
            "X-HTTP-Method-Override": "DELETE",
            "Forwarded": "for=10.0.0.1",
            "Cookie": "session=1",
            "Proxy-Authorization": "Basic x",
            "TE": "trailers",
            "Connection": "X-User-Id",
        }
        services.users.respond("GET", "/users/me", {})
        await gateway.get("/v2/users/me", headers={**customer_headers, **internal})
        [request] = services.users.requests_for("GET", "/users/me")
        assert not {name.lower() for name in internal} & set(request.headers)

    async def test_request_id_is_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", {})
        response = await gateway.get("/v2/users/me", headers={**customer_headers, "X-Request-ID": "mine-1"})
        assert response.headers["x-request-id"] == "mine-1"
        assert services.users.requests_for("GET", "/users/me")[0].headers["x-request-id"] == "mine-1"


class TestFailingServices:
    async def test_response_is_503_with_retry_after_when_the_service_is_unreachable(
        self, open_gateway: OpenGateway, customer_headers: dict[str, str]
    ) -> None:
        async with open_gateway(orders_url=unreachable_url()) as gateway:
            response = await gateway.post("/v2/orders", headers=customer_headers, json={})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        problem = response.json()
        assert problem["type"].endswith("/upstream-unreachable")
        assert problem["detail"] == "orders cannot be reached"
        assert problem["instance"] == "/v2/orders"
        assert problem["trace_id"] == response.headers["traceresponse"].split("-")[1]

    async def test_response_is_504_and_the_call_cancelled_when_the_service_hangs(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.hang("GET", "/orders")
        async with open_gateway(upstream_seconds=1) as gateway:
            response = await gateway.get("/v2/orders", headers=customer_headers)
            assert response.status_code == 504
            assert response.json()["type"].endswith("/upstream-timeout")
            await eventually(lambda: services.orders.disconnected == ["/orders"])

    async def test_response_is_502_when_the_service_disconnects_midway(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.break_off("GET", "/orders")
        response = await gateway.get("/v2/orders", headers=customer_headers)
        assert response.status_code == 502
        assert response.json()["type"].endswith("/upstream-broken")

    @pytest.mark.parametrize("status", [404, 500])
    async def test_response_is_502_when_the_service_responds_with_an_error_that_is_not_a_problem(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str], status: int
    ) -> None:
        services.orders.respond("GET", "/orders", b"Traceback: secret", status=status, media_type="text/plain")
        response = await gateway.get("/v2/orders", headers=customer_headers)
        assert response.status_code == 502
        assert "secret" not in response.text

    async def test_problem_and_retry_after_are_forwarded_when_the_service_responds_503(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond_problem("GET", "/orders", status=503, slug="unavailable", headers={"retry-after": "1"})
        response = await gateway.get("/v2/orders", headers=customer_headers)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["type"].endswith("/unavailable")
