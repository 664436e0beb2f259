"""A profile replaces the response to a request with the header `X-Profile`."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services
from starlette.middleware import Middleware

from shared.web.profiling import ProfilingMiddleware
from testkit.waiting import eventually


@pytest.fixture
async def slow_products(services: Services) -> AsyncIterator[Services]:
    """Delay the responses of products, so that the gateway waits long enough to appear in a sampled profile."""
    release = asyncio.Event()
    services.orders.respond("GET", "/products", {"secret": 1}, until=release)

    async def release_each() -> None:
        while True:
            await eventually(lambda: services.orders.in_flight == 1)
            await asyncio.sleep(0.05)
            release.set()
            await eventually(lambda: services.orders.in_flight == 0)
            release.clear()

    releasing = asyncio.create_task(release_each())
    yield services
    releasing.cancel()


class TestProfile:
    async def test_profile_replaces_the_response(self, gateway: httpx.AsyncClient, slow_products: Services) -> None:
        for profile_format, media_type in (
            ("text", "text/plain"),
            ("html", "text/html"),
            ("speedscope", "application/json"),
        ):
            response = await gateway.get("/v2/products", headers={"X-Profile": profile_format})
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(media_type)
            assert response.headers["x-profile-status"] == "200"
            assert "secret" not in response.text
            assert "list_products" in response.text
        assert response.json()["$schema"].endswith("file-format-schema.json")

    async def test_profile_has_the_status_of_the_response(self, gateway: httpx.AsyncClient) -> None:
        response = await gateway.get("/v1/orders", headers={"X-Profile": "TEXT"})
        assert (response.status_code, response.headers["x-profile-status"]) == (200, "401")
        assert "sunset" in response.headers

    async def test_profile_is_rejected_when_the_format_is_unknown(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        response = await gateway.get("/v2/products", headers={"X-Profile": "flame"})
        assert response.status_code == 400
        assert response.json()["type"].endswith("/unknown-profile")
        assert services.orders.requests == []

    async def test_profile_is_rejected_when_another_one_runs(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        release = asyncio.Event()
        services.orders.respond("GET", "/products", {}, until=release)
        services.orders.respond("GET", "/products/mug", {})
        first = asyncio.create_task(gateway.get("/v2/products", headers={"X-Profile": "text"}))
        await eventually(lambda: services.orders.in_flight == 1)
        others = (gateway.get("/v2/products/mug", headers={"X-Profile": "html"}) for _ in range(20))
        for rejected in await asyncio.gather(*others):
            assert rejected.status_code == 503
            assert rejected.json()["type"].endswith("/profiler-busy")
            assert int(rejected.headers["retry-after"]) >= 1
        assert (await gateway.get("/v2/products/mug")).status_code == 200
        release.set()
        assert (await first).headers["x-profile-status"] == "200"
        assert (await gateway.get("/v2/products", headers={"X-Profile": "text"})).status_code == 200

    async def test_profile_ends_when_the_request_hangs(self, open_gateway: OpenGateway, services: Services) -> None:
        """In production the gateway adds no profiler, so the only profiler is that of the test."""
        services.orders.hang("GET", "/products")
        profiler = Middleware(ProfilingMiddleware, timeout_s=0.3)
        async with open_gateway(profiler, environment="production") as gateway:

            async def upstream_call_was_cancelled() -> bool:
                """On a busy machine a profile can end before the call to the service, so the request is repeated."""
                response = await gateway.get("/v2/products", headers={"X-Profile": "text"})
                assert (response.status_code, response.headers["x-profile-status"]) == (200, "504")
                return "/products" in services.orders.disconnected

            await eventually(upstream_call_was_cancelled)
            assert (await gateway.get("/v2/products/mug", headers={"X-Profile": "text"})).status_code == 200

    async def test_response_is_not_replaced_in_production(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.respond("GET", "/products", b"as it is")
        async with open_gateway(environment="production") as gateway:
            response = await gateway.get("/v2/products", headers={"X-Profile": "text"})
        assert response.content == b"as it is"
        assert "x-profile-status" not in response.headers
