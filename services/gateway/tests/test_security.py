"""Security headers, allowed hosts, and requests with two access tokens."""

import httpx
from services.gateway.tests.conftest import OpenGateway, Services


class TestSecurityHeaders:
    async def test_headers_are_set_on_every_response(self, gateway: httpx.AsyncClient, services: Services) -> None:
        services.orders.respond("GET", "/products", {})
        for path, status in (("/v2/products", 200), ("/v2/orders", 401), ("/nothing", 404), ("/health/live", 200)):
            response = await gateway.get(path)
            assert response.status_code == status
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["x-frame-options"] == "DENY"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert "strict-transport-security" not in response.headers

    async def test_policy_of_documentation_pages_allows_scripts_and_forbids_frames(
        self, gateway: httpx.AsyncClient
    ) -> None:
        for path in ("/v1/docs", "/v2/docs"):
            policy = (await gateway.get(path)).headers["content-security-policy"]
            assert "script-src" not in policy
            assert "default-src" not in policy
            assert "frame-ancestors 'none'" in policy

    async def test_hsts_is_sent_when_the_request_was_sent_over_https(self, gateway: httpx.AsyncClient) -> None:
        response = await gateway.get("/health/live", headers={"X-Forwarded-Proto": "https"})
        assert response.headers["strict-transport-security"].startswith("max-age=31536000")


class TestAllowedHosts:
    async def test_unknown_hosts_are_rejected_except_for_probes(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        async with open_gateway(allowed_hosts="shop.example, *.hopline.example,[::1]") as gateway:
            for host, path, status in (
                ("shop.example", "/v2/products", 200),
                ("SHOP.example:8000", "/v2/products", 200),
                ("api.hopline.example", "/v2/products", 200),
                ("[::1]:8000", "/v2/products", 200),
                ("hopline.example", "/v2/products", 400),
                ("evilshop.example", "/v2/products", 400),
                ("shop.example.evil", "/v2/products", 400),
                ("10.0.0.7:8000", "/v2/products", 400),
                ("10.0.0.7:8000", "/health/live", 200),
            ):
                response = await gateway.get(path, headers={"Host": host})
                assert response.status_code == status, host
            rejected = await gateway.get("/v1/products", headers={"Host": "evil.example"})
            assert rejected.json()["type"].endswith("/unknown-host")
            assert "sunset" in rejected.headers
            assert len(rejected.headers["x-request-id"]) == 32


class TestTwoTokens:
    async def test_only_the_verified_token_is_forwarded_when_a_request_has_two(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.respond("GET", "/users/me", {})
        two_tokens = [*customer_headers.items(), ("Authorization", "Bearer another")]
        response = await gateway.get("/v2/users/me", headers=two_tokens)
        assert response.status_code == 200
        [request] = services.users.requests_for("GET", "/users/me")
        assert request.headers.getlist("authorization") == list(customer_headers.values())
