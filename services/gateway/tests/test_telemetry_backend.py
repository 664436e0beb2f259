"""The gateway as it is deployed, before a telemetry backend that is gone or hangs: nobody who asks notices."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
from services.gateway.tests.conftest import Services

from testkit.apps import free_port, http_client
from testkit.waiting import PATIENCE_S, eventually

REQUESTS = 50


@asynccontextmanager
async def deployed(services: Services, *, backend: str, redis_url: str) -> AsyncIterator[tuple[Process, str]]:
    """A gunicorn master and its worker, exporting to `backend`; nothing of it is left afterwards."""
    port = free_port()
    environment = {
        **{name.upper(): url for name, url in services.urls.items()},
        "JWKS_URL": f"{services.urls['users_url']}/.well-known/jwks.json",
        "REDIS_URL": redis_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend,
        "ENVIRONMENT": "test",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gunicorn", "-c", "python:shared.gunicorn", "gateway.main:create_app()"),
        env=os.environ | environment,
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class HangingBackend:
    """Accepts connections and never answers, until it is gone."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def go(self) -> None:
        self._server.close()
        for connection in self.connections:
            connection.close()

    async def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)


class TestTelemetryBackend:
    async def test_hanging_or_gone_it_slows_and_fails_nothing(self, services: Services, redis_url: str) -> None:
        services.orders.answers("GET", "/products", {})
        backend = HangingBackend()
        async with (
            deployed(services, backend=await backend.open(), redis_url=redis_url) as (process, url),
            http_client(url) as client,
        ):
            await self._serves(client)
            await eventually(lambda: backend.connections, what="an export that hangs")
            await self._serves(client)
            backend.go()
            await self._serves(client)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0

    async def _serves(self, client: httpx.AsyncClient) -> None:
        await eventually(lambda: self._is_up(client))
        responses = await asyncio.gather(*(client.get("/v2/products") for _ in range(REQUESTS)))
        assert {response.status_code for response in responses} == {200}

    async def _is_up(self, client: httpx.AsyncClient) -> bool:
        with suppress(httpx.TransportError):
            return (await client.get("/health/live")).status_code == 200
        return False
