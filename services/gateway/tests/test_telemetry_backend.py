"""A telemetry backend that hangs or is gone does not affect the requests of a deployed gateway."""

import asyncio
import signal

import httpx
from services.gateway.tests.conftest import Services
from services.gateway.tests.processes import deployed, is_up

from testkit.apps import http_client
from testkit.waiting import TIMEOUT_S, eventually

REQUESTS = 50


class HangingBackend:
    """Accepts connections and sends no response. `close` stops it."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._server.close()
        for connection in self.connections:
            connection.close()

    async def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)


class TestTelemetryBackend:
    async def test_requests_are_served_when_the_backend_hangs_or_is_gone(
        self, services: Services, redis_url: str
    ) -> None:
        services.orders.respond("GET", "/products", {})
        backend = HangingBackend()
        async with (
            deployed(services, backend=await backend.open(), redis_url=redis_url) as (process, url),
            http_client(url) as client,
        ):
            await self._assert_serves(client)
            await eventually(lambda: backend.connections, what="an export that hangs")
            await self._assert_serves(client)
            backend.close()
            await self._assert_serves(client)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0

    async def _assert_serves(self, client: httpx.AsyncClient) -> None:
        await eventually(lambda: is_up(client))
        responses = await asyncio.gather(*(client.get("/v2/products") for _ in range(REQUESTS)))
        assert {response.status_code for response in responses} == {200}
