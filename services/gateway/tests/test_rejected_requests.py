"""Requests that the gateway rejects before it calls a service, because of their token, target, method or size."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from services.gateway.tests.clients import open_connection
from services.gateway.tests.conftest import CALLER, OpenGateway, Services
from services.gateway.tests.fakes import unreachable_url

from testkit.connections import close_connection
from testkit.tokens import TokenIssuer

ORDER = "0198b7f0-0000-7000-8000-00000000000a"


async def send_target(gateway: httpx.AsyncClient, target: str, *, headers: Mapping[str, str] | None = None) -> bytes:
    """Send a GET request for `target` and return the response. HTTP clients would normalise the target."""
    reader, writer = await open_connection(gateway)
    try:
        lines = [f"{name}: {value}" for name, value in {"Host": "x", "Connection": "close", **(headers or {})}.items()]
        writer.write("\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode())
        return await reader.read()
    finally:
        await close_connection(writer)


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
        assert [request for service in services.fakes for request in service.requests] == []

    async def test_response_is_401_when_the_token_is_of_another_issuer_or_expired(
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
        self, open_gateway: OpenGateway, customer_headers: dict[str, str]
    ) -> None:
        async with open_gateway(jwks_url=unreachable_url()) as gateway:
            response = await gateway.get("/v2/orders", headers=customer_headers)
            assert response.status_code == 503


class TestTargets:
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
    async def test_request_is_not_forwarded_when_the_path_is_not_that_of_a_route(
        self, gateway: httpx.AsyncClient, services: Services, admin_headers: dict[str, str], target: str
    ) -> None:
        response = await send_target(gateway, target, headers=admin_headers)
        assert response.split(b" ")[1] in {b"400", b"404", b"422"}, response
        assert [request for service in services.fakes for request in service.requests] == []

    async def test_request_is_rejected_when_the_url_is_too_long(self, gateway: httpx.AsyncClient) -> None:
        """Percent-encoding triples the length of a bracket, so the URL exceeds the 64 KiB that httpx accepts."""
        response = await send_target(gateway, f"/v2/products?x={'[' * 30_000}")
        assert response.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in response

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nothing", 404), ("GET", "/v2/nothing", 404), ("DELETE", "/v2/orders", 405)],
    )
    async def test_response_is_a_problem_when_the_route_or_the_method_is_unknown(
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
        self,
        gateway: httpx.AsyncClient,
        services: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        too_large = b"x" * 70_000

        async def stream_without_length() -> AsyncIterator[bytes]:
            for begin in range(0, len(too_large), 1_000):
                yield too_large[begin : begin + 1_000]

        for content in (too_large, stream_without_length()):
            response = await gateway.post("/v2/orders", headers=customer_headers, content=content)
            assert response.status_code == 413
            assert response.json()["type"].endswith("/payload-too-large")
        assert services.orders.requests == []
        assert "unhandled_exception" not in capsys.readouterr().out
