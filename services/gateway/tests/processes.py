"""The gateway as it is deployed, in separate processes."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
from services.gateway.tests.conftest import Services

from testkit.apps import free_port


@asynccontextmanager
async def running_gateway(
    services: Services, *, otlp_endpoint: str, redis_url: str, **variables: str
) -> AsyncIterator[tuple[Process, str]]:
    """Start a gunicorn master and its worker, which export telemetry to `otlp_endpoint`; kill them afterwards.

    `variables` are further environment variables. Yields the process of the master and the base URL.
    """
    port = free_port()
    environment = {
        **{name.upper(): url for name, url in services.urls.items()},
        "REDIS_URL": redis_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_endpoint,
        "ENVIRONMENT": "test",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gunicorn", "-c", "python:shared.server.gunicorn", "gateway.main:create_app()"),
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


async def is_up(client: httpx.AsyncClient) -> bool:
    """Return whether the gateway behind `client` is live."""
    with suppress(httpx.TransportError):
        return (await client.get("/health/live")).is_success
    return False
