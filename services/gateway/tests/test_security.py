"""What browsers are told, which hosts are answered for, and which of two tokens counts."""

import httpx
from services.gateway.tests.conftest import OpenGateway, Services


class TestSecurityHeaders:
    async def test_are_on_every_answer(self, gateway: httpx.AsyncClient, services: Services) -> None:
        services.orders.answers("GET", "/products", {})
        for path, status in (("/v2/products", 200), ("/v2/orders", 401), ("/nothing", 404), ("/health/live", 200)):
            response = await gateway.get(path)
            assert response.status_code == status
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["x-frame-options"] == "DENY"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert "strict-transport-security" not in response.headers

    async def test_let_pages_run_their_own_scripts_in_no_frame(self, gateway: httpx.AsyncClient) -> None:
        for path in ("/", "/v2/docs"):
            policy = (await gateway.get(path)).headers["content-security-policy"]
            assert "script-src" not in policy
            assert "default-src" not in policy
            assert "frame-ancestors 'none'" in policy

    async def test_ask_for_tls_where_there_is_tls(self, gateway: httpx.AsyncClient) -> None:
        response = await gateway.get("/health/live", headers={"X-Forwarded-Proto": "https"})
        assert response.headers["strict-transport-security"].startswith("max-age=31536000")


class TestKnownHosts:
    async def test_others_are_refused_but_for_probes(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.answers("GET", "/products", {})
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
            refused = await gateway.get("/v1/products", headers={"Host": "evil.example"})
            assert refused.json()["type"].endswith("/unknown-host")
            assert "sunset" in refused.headers
            assert len(refused.headers["x-request-id"]) == 32


class TestTwoTokens:
    async def test_the_service_sees_the_one_that_was_verified(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.users.answers("GET", "/users/me", {})
        twice = [*token.items(), ("Authorization", "Bearer another")]
        response = await gateway.get("/v2/users/me", headers=twice)
        assert response.status_code == 200
        [seen] = services.users.asked("GET", "/users/me")
        assert seen.headers.getlist("authorization") == list(token.values())
