"""A request and its upstream calls end at the deadline, or when the client disconnects."""

import asyncio
import json

import httpx
import pytest
from services.gateway.tests.clients import Connection, open_connection
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import JWKS_PATH
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.client_connection import ClientConnectionMiddleware
from shared.web.client_address import AddressLimit
from testkit.connections import close_connection
from testkit.waiting import eventually


async def receive_no_body() -> Message:
    return {"type": "http.request", "body": b""}


async def discard(_message: Message) -> None: ...


async def serve_request(app: ASGIApp, receive: Receive, *, watch_delay_s: float = 0) -> None:
    """Send a request without a body through the middleware to `app`."""
    uploads = AddressLimit(total=1, per_address=1)
    middleware = ClientConnectionMiddleware(app, uploads=uploads, watch_delay_s=watch_delay_s)
    await middleware({"type": "http", "path": "/v2/products", "headers": []}, receive, discard)


async def send_incomplete_body(gateway: httpx.AsyncClient, customer_headers: dict[str, str]) -> Connection:
    """Send the head of an order and a part of its body, and return the connection."""
    reader, writer = await open_connection(gateway)
    head = f"POST /v2/orders HTTP/1.1\r\nHost: x\r\nAuthorization: {customer_headers['Authorization']}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n".encode() + b'{"items":')
    await writer.drain()
    return reader, writer


class TestClientDisconnect:
    async def test_upstream_call_is_cancelled_when_the_client_disconnects(
        self,
        gateway: httpx.AsyncClient,
        services: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        services.orders.hang("POST", "/orders")
        request = asyncio.create_task(gateway.post("/v2/orders", headers=customer_headers, json={}))
        await eventually(lambda: services.orders.requests)
        assert services.orders.disconnected == []
        request.cancel()
        await eventually(lambda: services.orders.disconnected == ["/orders"])
        statuses = await eventually(lambda: self._logged_statuses(capsys))
        assert statuses == [499]

    async def test_every_dashboard_call_is_cancelled_when_the_client_disconnects(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.hang("GET", "/users/me")
        services.orders.hang("GET", "/orders/recent")
        services.notifications.hang("GET", "/notifications/summary")
        async with open_gateway() as gateway:
            request = asyncio.create_task(gateway.get("/v2/dashboard", headers=customer_headers))
            await eventually(lambda: all(service.in_flight == 1 for service in services.fakes))
            request.cancel()
            await eventually(lambda: all(len(service.disconnected) == 1 for service in services.fakes))

    async def test_connection_is_not_watched_when_the_response_is_fast(self) -> None:
        received = 0

        async def receive() -> Message:
            nonlocal received
            received += 1
            if received > 1:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b""}

        async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        await serve_request(respond, receive, watch_delay_s=3600)
        assert received == 1

    async def test_request_is_not_cancelled_when_the_response_is_complete(self) -> None:
        """The server sends `http.disconnect` after a response as well."""
        complete, disconnected = asyncio.Event(), asyncio.Event()
        messages = [{"type": "http.request", "body": b""}]
        ended = False

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await complete.wait()
            disconnected.set()
            return {"type": "http.disconnect"}

        async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
            nonlocal ended
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            complete.set()
            await disconnected.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            ended = True

        await serve_request(respond, receive)
        assert ended

    async def test_timeout_of_the_application_propagates_when_the_client_is_connected(self) -> None:
        async def time_out(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            await serve_request(time_out, receive_no_body)

    async def test_request_ends_when_the_client_disconnects_within_the_body(
        self,
        gateway: httpx.AsyncClient,
        services: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        _, writer = await send_incomplete_body(gateway, customer_headers)
        await close_connection(writer)
        assert await eventually(lambda: self._logged_statuses(capsys)) == [499]
        assert services.orders.requests == []

    def _logged_statuses(self, capsys: pytest.CaptureFixture[str]) -> list[int]:
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"http_request"' in line]
        return [record["http.response.status_code"] for record in records]


class TestDeadline:
    async def test_deadline_limits_the_whole_request(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hang("GET", "/products")
        async with open_gateway(request_seconds=1) as gateway:
            response = await gateway.get("/v2/products")
            assert response.status_code == 504
            assert response.json()["type"].endswith("/deadline-spent")
            assert response.json()["instance"] == "/v2/products"
            assert len(response.headers["x-request-id"]) == 32
            await eventually(lambda: services.orders.disconnected)

    async def test_response_is_408_when_the_body_never_arrives(
        self,
        open_gateway: OpenGateway,
        services: Services,
        customer_headers: dict[str, str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async with open_gateway(request_seconds=0.3) as gateway:
            reader, writer = await send_incomplete_body(gateway, customer_headers)
            response = await reader.read()
            await close_connection(writer)
        assert response.startswith(b"HTTP/1.1 408 ")
        assert b"/problems/request-timeout" in response
        output = capsys.readouterr().out
        assert '"http_request"' in output
        assert '"level":"error"' not in output
        assert services.orders.requests == []

    async def test_deadline_includes_the_verification_of_the_token(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.users.hang("GET", JWKS_PATH)
        async with open_gateway(request_seconds=0.5) as gateway:
            response = await gateway.get("/v2/orders", headers=customer_headers)
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")

    async def test_client_can_shorten_the_deadline(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hang("GET", "/products")
        async with open_gateway() as gateway:
            response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "1000"})
            assert response.status_code == 504
            await eventually(lambda: services.orders.disconnected)

    async def test_client_cannot_extend_the_deadline(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hang("GET", "/products")
        async with open_gateway(request_seconds=0.3) as gateway:
            response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "999999"})
        assert response.status_code == 504
        assert response.json()["type"].endswith("/deadline-spent")

    async def test_request_is_rejected_when_the_client_has_no_time_left(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "0"})
        assert response.status_code == 504
        assert response.json()["instance"] == "/v2/products"
        assert services.orders.requests == []


class TestUpstreamTimeout:
    async def test_call_ends_when_the_service_sends_slowly(self, open_gateway: OpenGateway, services: Services) -> None:
        """Each read is short, so only a limit on all reads together ends the call."""
        services.orders.send_slowly("GET", "/products")
        async with open_gateway(upstream_seconds=0.5, request_seconds=10) as gateway:
            response = await gateway.get("/v2/products")
            assert response.status_code == 504
            assert response.json()["type"].endswith("/upstream-timeout")
            await eventually(lambda: services.orders.in_flight == 0)


class TestPropagatedTimeout:
    async def test_services_receive_the_remaining_time(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/orders", {})
        async with open_gateway(request_seconds=8, upstream_seconds=20) as gateway:
            for requested_ms, max_ms in (("invalid", 8_000), ("3000", 3_000), ("60000", 8_000)):
                await gateway.get("/v2/orders", headers={**customer_headers, "X-Request-Timeout-Ms": requested_ms})
                remaining_ms = int(services.orders.requests[-1].headers["x-request-timeout-ms"])
                assert 0 < remaining_ms < max_ms

    async def test_dashboard_calls_receive_the_dashboard_timeout(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        async with open_gateway(dashboard_seconds=4) as gateway:
            await gateway.get("/v2/dashboard", headers=customer_headers)
        for service in services.fakes:
            assert 0 < int(service.requests[-1].headers["x-request-timeout-ms"]) <= 4_000
