"""Requests are forwarded to one service, and its responses to the client."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from services.gateway.tests.conftest import CALLER, OpenGateway, Services

from testkit.apps import free_port
from testkit.connections import close_connection
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

ORDER = "0198b7f0-0000-7000-8000-00000000000a"


class TestResponses:
    async def test_bytes_and_status_are_forwarded_unchanged(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        odd = b'{ "id" : 1.50, "id": 2, "n": 12345678901234567890, "u": "\\u00e9\xc3\xa9" }\n'
        services.orders.respond("GET", f"/orders/{ORDER}", odd)
        response = await gateway.get(f"/v2/orders/{ORDER}", headers=token)
        assert response.status_code == 200
        assert response.content == odd
        assert response.headers["content-type"] == "application/json"

    async def test_only_listed_headers_are_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        passing = {
            "idempotency-replayed": "true",
            "retry-after": "7",
            "cache-control": "private",
            "etag": '"1"',
            "www-authenticate": 'Bearer realm="hopline"',
        }
        internal = {"x-internal-shard": "3", "x-request-id": "theirs", "traceresponse": "theirs", "set-cookie": "a=b"}
        hop_by_hop = {"keep-alive": "timeout=9", "proxy-authenticate": "Basic", "upgrade": "h2c"}
        services.orders.respond("POST", "/orders", {}, status=201, headers={**passing, **internal, **hop_by_hop})
        response = await gateway.post("/v2/orders", headers=token, json={})
        assert passing.items() <= dict(response.headers).items()
        assert not {"x-internal-shard", "set-cookie", *hop_by_hop} & set(response.headers)
        assert "theirs" not in response.headers.values()

    @pytest.mark.parametrize("location", [f"/orders/{ORDER}", f"/v2/orders/{ORDER}"])
    async def test_location_is_below_the_requested_version(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], location: str
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201, headers={"location": location})
        response = await gateway.post("/v2/orders", headers=token, json={})
        assert response.headers["location"] == f"/v2/orders/{ORDER}"

    async def test_problem_instance_is_the_path_of_the_client(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.respond_problem("POST", f"/orders/{ORDER}/cancel", status=409, slug="not-cancellable")
        response = await gateway.post(f"/v2/orders/{ORDER}/cancel", headers=token)
        assert response.status_code == 409
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"].endswith("/not-cancellable")
        assert response.json()["instance"] == f"/v2/orders/{ORDER}/cancel"

    async def test_not_modified_has_no_body(self, gateway: httpx.AsyncClient, services: Services) -> None:
        services.orders.respond("GET", "/products", b"", status=304, headers={"etag": '"1"'})
        response = await gateway.get("/v2/products", headers={"If-None-Match": '"1"'})
        assert response.status_code == 304
        assert services.orders.requests[0].headers["if-none-match"] == '"1"'


class TestRequests:
    async def test_body_query_and_listed_headers_reach_the_service(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        body = b'{"items": [ {"sku":"\xc3\xa9", "quantity":1e0} ]}'
        given = {**token, "Idempotency-Key": "k-1", "Content-Type": "application/json; charset=utf-8"}
        await gateway.post("/v2/orders?dry=%20run&x=%2F%26", content=body, headers=given)
        [request] = services.orders.requests
        assert request.body == body
        assert parse_qsl(request.query, strict_parsing=True) == [("dry", " run"), ("x", "/&")]
        assert given.items() <= {name.title(): value for name, value in request.headers.items()}.items()

    async def test_request_is_rejected_when_the_url_is_too_long(self, gateway: httpx.AsyncClient) -> None:
        reader, writer = await asyncio.open_connection(gateway.base_url.host, gateway.base_url.port)
        try:  # encoding makes three characters of each bracket; httpx accepts URLs up to 64 KiB
            writer.write(b"GET /v2/products?x=%b HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n" % (b"[" * 30_000))
            response = await reader.read()
        finally:
            await close_connection(writer)
        assert response.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in response

    @pytest.mark.parametrize("transport", ["aiohttp", "httptools"])
    async def test_header_is_forwarded_unchanged_when_it_is_not_ascii(
        self, open_gateway: OpenGateway, services: Services, monkeypatch: pytest.MonkeyPatch, transport: str
    ) -> None:
        monkeypatch.setenv("HTTP_TRANSPORT", transport)
        services.orders.respond("GET", "/products", {})
        tag = '"müller"'.encode()
        async with open_gateway() as gateway:
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

    async def test_forged_internal_headers_are_not_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        forged = {
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
        await gateway.get("/v2/users/me", headers={**token, **forged})
        [request] = services.users.requests_for("GET", "/users/me")
        assert not {name.lower() for name in forged} & set(request.headers)

    async def test_request_id_is_forwarded(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", {})
        response = await gateway.get("/v2/users/me", headers={**token, "X-Request-ID": "mine-1"})
        assert response.headers["x-request-id"] == "mine-1"
        assert services.users.requests_for("GET", "/users/me")[0].headers["x-request-id"] == "mine-1"


class TestTokens:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2/users/me"),
            ("POST", "/v2/orders"),
            ("GET", "/v2/orders/not-even-an-id"),
            ("GET", "/v2/notifications"),
            ("POST", "/v2/ws-tickets"),
            ("GET", "/v2/dashboard"),
            ("POST", "/v2/users/lookup"),
        ],
    )
    async def test_response_is_401_when_the_token_is_missing(
        self, gateway: httpx.AsyncClient, services: Services, method: str, path: str
    ) -> None:
        response = await gateway.request(method, path)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer realm="hopline"'
        assert response.json()["instance"] == path
        assert services.users.requests + services.orders.requests + services.notifications.requests == []

    async def test_response_is_401_when_the_token_is_foreign_or_expired(
        self, gateway: httpx.AsyncClient, services: Services, token_issuer: TokenIssuer
    ) -> None:
        for headers in (TokenIssuer().headers(CALLER), token_issuer.headers(CALLER, lifetime=-60)):
            assert (await gateway.get("/v2/orders", headers=headers)).status_code == 401
        assert services.orders.requests == []

    @pytest.mark.parametrize("path", ["/products", "/products/mug-blue"])
    async def test_catalog_needs_no_token(self, gateway: httpx.AsyncClient, services: Services, path: str) -> None:
        services.orders.respond("GET", path, {})
        assert (await gateway.get(f"/v2{path}")).status_code == 200

    async def test_response_is_503_when_the_keys_are_unavailable(
        self, open_gateway: OpenGateway, token: dict[str, str]
    ) -> None:
        async with open_gateway(jwks_url=f"http://127.0.0.1:{free_port()}/jwks") as gateway:
            response = await gateway.get("/v2/orders", headers=token)
            assert response.status_code == 503


class TestFailingServices:
    async def test_response_is_503_with_retry_after_when_the_service_is_unreachable(
        self, open_gateway: OpenGateway, token: dict[str, str]
    ) -> None:
        async with open_gateway(orders_url=f"http://127.0.0.1:{free_port()}") as gateway:
            response = await gateway.post("/v2/orders", headers=token, json={})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        problem = response.json()
        assert problem["type"].endswith("/upstream-unreachable")
        assert problem["detail"] == "orders cannot be reached"
        assert problem["instance"] == "/v2/orders"
        assert problem["trace_id"] == response.headers["traceresponse"].split("-")[1]

    async def test_response_is_504_and_the_call_cancelled_when_the_service_hangs(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.hang("GET", "/orders")
        async with open_gateway(upstream_seconds=1) as gateway:
            response = await gateway.get("/v2/orders", headers=token)
            assert response.status_code == 504
            assert response.json()["type"].endswith("/upstream-timeout")
            await eventually(lambda: services.orders.disconnected == ["/orders"])

    async def test_response_is_502_when_the_service_disconnects_midway(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.break_off("GET", "/orders")
        response = await gateway.get("/v2/orders", headers=token)
        assert response.status_code == 502
        assert response.json()["type"].endswith("/upstream-broken")

    @pytest.mark.parametrize("status", [404, 500])
    async def test_response_is_502_when_the_error_is_not_a_problem(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], status: int
    ) -> None:
        services.orders.respond("GET", "/orders", b"Traceback: secret", status=status, media_type="text/plain")
        response = await gateway.get("/v2/orders", headers=token)
        assert response.status_code == 502
        assert "secret" not in response.text

    async def test_problem_of_a_service_is_forwarded_when_it_is_503(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.respond_problem("GET", "/orders", status=503, slug="unavailable", headers={"retry-after": "1"})
        response = await gateway.get("/v2/orders", headers=token)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["type"].endswith("/unavailable")


class TestPaths:
    @pytest.mark.parametrize(
        "target",
        [
            f"/v2/internal/users/{CALLER}",
            f"/internal/users/{CALLER}",
            f"/v2/../internal/users/{CALLER}",
            f"/v2/users/..%2Finternal%2Fusers%2F{CALLER}",
            f"/v2/orders/%2e%2e/internal/orders/{ORDER}/pack",
            f"/v2/orders/..%2f..%2finternal%2forders%2f{ORDER}",
            f"/v2/orders/{ORDER}%2F..%2F..%2Finternal",
            "/v2/orders/..",
            "/v2/orders/recent",
            "/v2/products/..",
            "/v2/products/.",
            "/v2/products/%2e%2e",
            "/v2/products/..%2Finternal",
            "/v2/products/a%3Fb=c",
            "/v2/products/a%23b",
            "/v2/products/a%5Cb",
            "/v2/products/a%0d%0aX: y",
            "/v2//products",
            "/v2/products/",
            "/v2/notifications/summary",
            "//orders/internal",
        ],
    )
    async def test_path_reaches_no_unlisted_route(
        self, gateway: httpx.AsyncClient, services: Services, admin: dict[str, str], target: str
    ) -> None:
        """The target is written to the socket directly, because HTTP clients normalise paths."""
        address = urlsplit(str(gateway.base_url))
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: {admin['Authorization']}\r\n\r\n".encode()
        )
        response = await reader.read()
        await close_connection(writer)
        assert response.split(b" ")[1] in {b"400", b"404", b"422"}, response
        paths = [
            request.path
            for request in services.users.requests + services.orders.requests + services.notifications.requests
        ]
        assert paths == []

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nothing", 404), ("GET", "/v2/nothing", 404), ("DELETE", "/v2/orders", 405)],
    )
    async def test_unknown_route_is_a_problem_in_every_version(
        self, gateway: httpx.AsyncClient, method: str, path: str, status: int
    ) -> None:
        response = await gateway.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["instance"] == path
        assert len(response.headers["x-request-id"]) == 32
        assert response.json()["trace_id"] == response.headers["traceresponse"].split("-")[1]

    async def test_allow_lists_all_methods_when_the_method_is_wrong(self, gateway: httpx.AsyncClient) -> None:
        for path, allowed in (
            ("/v2/orders", "GET, HEAD, POST"),
            ("/v1/users/me", "GET, HEAD, PATCH"),
            ("/users/me", "GET, HEAD, PATCH"),
        ):
            response = await gateway.delete(path)
            assert (response.status_code, response.headers["allow"]) == (405, allowed)


class TestBodyLimit:
    async def test_body_is_rejected_when_it_is_too_large(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def undeclared() -> AsyncIterator[bytes]:
            for _ in range(70):
                yield b"x" * 1024

        for content in (b"x" * 70_000, undeclared()):
            response = await gateway.post("/v2/orders", headers=token, content=content)
            assert response.status_code == 413
            assert response.json()["type"].endswith("/payload-too-large")
        assert services.orders.requests == []
        assert "unhandled_exception" not in capsys.readouterr().out
