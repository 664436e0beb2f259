"""Forwards the telemetry of pages to the OTLP receiver, in the background."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx
import orjson
import structlog
from fastapi import Depends, Request
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from gateway.browser.otlp import MetricsData, TracesData
from gateway.dependencies import SettingsDep
from gateway.limits.credentials import LimiterDep
from gateway.limits.middleware import apply_limits
from gateway.limits.quota import Hit
from gateway.limits.rules import create_rules
from gateway.settings import Settings
from shared.background import BackgroundLoop
from shared.http.client import open_http_client
from shared.web.client_address import get_client_address

log = structlog.get_logger(__name__)

MAX_QUEUED = 16
"""Bodies, each parsed from at most 64 KiB."""

TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Export:
    url: str
    body: bytes


class TelemetryForwarder(BackgroundLoop):
    """Sends bodies to the receiver, one after the other. If it is unavailable, bodies are lost and no request waits."""

    def __init__(self, *, http: httpx.AsyncClient, settings: Settings) -> None:
        super().__init__()
        self._http = http
        self._settings = settings
        base = str(settings.otel_exporter_otlp_endpoint).rstrip("/")
        self._traces_url = str(settings.otel_exporter_otlp_traces_endpoint or f"{base}/v1/traces")
        self._metrics_url = str(settings.otel_exporter_otlp_metrics_endpoint or f"{base}/v1/metrics")
        self._queue: asyncio.Queue[_Export] = asyncio.Queue(MAX_QUEUED)

    def __str__(self) -> str:
        """Return the name of the loop in the log."""
        return "browser-telemetry"

    def forward(self, data: TracesData | MetricsData) -> None:
        """Queue a body without waiting. It is lost if the queue is full. Raises PayloadTooLargeError."""
        url = self._traces_url if isinstance(data, TracesData) else self._metrics_url
        body = orjson.dumps(data.document(self._settings.environment))
        try:
            self._queue.put_nowait(_Export(url=url, body=body))
        except asyncio.QueueFull:
            log.warning("browser_telemetry_lost", reason="the queue is full")

    async def _run(self) -> None:
        with self._cancellable(), suppress_http_instrumentation():
            while True:
                await self._send(await self._queue.get())

    async def _send(self, export: _Export) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._http.post(
                    export.url, content=export.body, headers={"Content-Type": "application/json"}
                )
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("browser_telemetry_lost", reason=f"{type(error).__name__}: {error}")
            return
        if not response.is_success:
            log.warning("browser_telemetry_lost", reason=f"the receiver responded {response.status_code}")


@asynccontextmanager
async def open_forwarder(settings: Settings) -> AsyncIterator[TelemetryForwarder]:
    """Open the forwarder to the OTLP receiver of `settings`."""
    async with (
        open_http_client(
            to="telemetry", timeout_s=TIMEOUT_S, max_connections=1, transport=settings.http_transport
        ) as http,
        TelemetryForwarder(http=http, settings=settings) as forwarder,
    ):
        yield forwarder


async def forwarder(request: Request) -> TelemetryForwarder:
    """Return the forwarder of the process."""
    forwarder: TelemetryForwarder = request.app.state.telemetry_forwarder
    return forwarder


ForwarderDep = Annotated[TelemetryForwarder, Depends(forwarder)]


async def limit_telemetry(request: Request, limiter: LimiterDep, settings: SettingsDep) -> None:
    """Count a body for the address of its client. This is a dependency of routes.

    Raises:
        TooManyRequestsError: The quota is exceeded.
    """
    quota = create_rules(settings).telemetry_by_address
    await apply_limits(limiter, request.scope, [Hit(quota=quota, subject=get_client_address(request.scope))])
