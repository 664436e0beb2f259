"""A request ends when its time is over or nobody waits for it, and so do the calls it made."""

import asyncio
import json
from urllib.parse import urlsplit

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services
from starlette.types import Message, Receive, Scope, Send

from gateway.patience import Patience
from testkit.waiting import eventually


class TestClientHangsUp:
    async def test_the_services_call_is_given_up(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        services.orders.hangs("POST", "/orders")
        impatient = asyncio.create_task(gateway.post("/v2/orders", headers=token, json={}))
        await eventually(lambda: services.orders.seen)
        assert services.orders.abandoned == []
        impatient.cancel()
        await eventually(lambda: services.orders.abandoned == ["/orders"])
        lines = await eventually(lambda: self._access_lines(capsys))
        assert lines == [499]

    async def test_every_part_of_a_dashboard_is_given_up(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.users.hangs("GET", "/users/me")
        services.orders.hangs("GET", "/orders/recent")
        services.notifications.hangs("GET", "/notifications/summary")
        async with open_gateway() as gateway:
            impatient = asyncio.create_task(gateway.get("/v2/dashboard", headers=token))
            await eventually(lambda: services.orders.seen and services.notifications.seen and services.users.at_once)
            impatient.cancel()
            asked = (services.users, services.orders, services.notifications)
            await eventually(lambda: all(len(service.abandoned) == 1 for service in asked))

    async def test_nobody_looks_for_it_where_the_answer_comes_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.patience.UNWATCHED_S", 3600)
        asked = 0

        async def receive() -> Message:
            nonlocal asked
            asked += 1
            if asked > 1:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b""}

        async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        async def send(_message: Message) -> None: ...

        await Patience(answer, deadline_s=60)({"type": "http", "path": "/v2/products"}, receive, send)
        assert asked == 1

    async def test_a_body_that_stops_half_way_ends_the_request(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, writer = await self._half_a_body(gateway, token)
        writer.close()
        assert await eventually(lambda: self._access_lines(capsys)) == [499]
        assert services.orders.seen == []

    async def _half_a_body(
        self, gateway: httpx.AsyncClient, token: dict[str, str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(str(gateway.base_url))
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"POST /v2/orders HTTP/1.1\r\nHost: x\r\nAuthorization: {token['Authorization']}\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n".encode() + b'{"items":')
        await writer.drain()
        return reader, writer

    def _access_lines(self, capsys: pytest.CaptureFixture[str]) -> list[int]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"http_request"' in line]
        return [line["http.response.status_code"] for line in lines]


class TestDeadline:
    async def test_it_bounds_the_request_as_a_whole(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hangs("GET", "/products")
        async with open_gateway(request_seconds=1) as gateway:
            response = await gateway.get("/v2/products")
            assert response.status_code == 504
            assert response.json()["type"].endswith("/deadline-spent")
            assert response.json()["instance"] == "/v2/products"
            assert len(response.headers["x-request-id"]) == 32
            await eventually(lambda: services.orders.abandoned)

    async def test_a_body_that_never_comes_is_a_408_of_the_client(
        self,
        open_gateway: OpenGateway,
        services: Services,
        token: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async with open_gateway(request_seconds=0.3) as gateway:
            reader, writer = await TestClientHangsUp()._half_a_body(gateway, token)
            response = await reader.read()
            writer.close()
        assert response.startswith(b"HTTP/1.1 408 ")
        assert b"/problems/request-timeout" in response
        output = capsys.readouterr().out
        assert '"http_request"' in output
        assert '"level":"error"' not in output
        assert services.orders.seen == []

    async def test_it_counts_from_before_the_token_is_verified(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.users.hangs("GET", "/.well-known/jwks.json")
        async with open_gateway(request_seconds=0.5) as gateway:
            response = await gateway.get("/v2/orders", headers=token)
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")

    async def test_a_client_may_ask_for_less(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hangs("GET", "/products")
        async with open_gateway() as gateway:
            response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "1000"})
            assert response.status_code == 504
            await eventually(lambda: services.orders.abandoned)

    async def test_a_client_gets_no_more(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hangs("GET", "/products")
        async with open_gateway(request_seconds=0.3) as gateway:
            response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "999999"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")

    async def test_a_client_without_time_is_not_served(self, gateway: httpx.AsyncClient, services: Services) -> None:
        response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "0"})
        assert response.status_code == 504
        assert response.json()["instance"] == "/v2/products"
        assert services.orders.seen == []


class TestServicesAreTold:
    async def test_how_long_the_gateway_waits_for_them(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.answers("GET", "/orders", {})
        async with open_gateway(request_seconds=8, upstream_seconds=20) as gateway:
            for asked_ms, at_most_ms in (("nonsense", 8_000), ("3000", 3_000), ("60000", 8_000)):
                await gateway.get("/v2/orders", headers={**token, "X-Request-Timeout-Ms": asked_ms})
                told = int(services.orders.seen[-1].headers["x-request-timeout-ms"])
                assert 0 < told < at_most_ms

    async def test_a_part_of_the_dashboard_has_its_own_time(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        async with open_gateway(dashboard_seconds=4) as gateway:
            await gateway.get("/v2/dashboard", headers=token)
        for service in (services.users, services.orders, services.notifications):
            assert 0 < int(service.seen[-1].headers["x-request-timeout-ms"]) <= 4_000
