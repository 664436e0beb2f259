"""The HTTP client of every process: `httpx.AsyncClient` over the transport of the setting `HTTP_TRANSPORT` (ADR 22).

Every call has a timeout and a CLIENT span, sends the trace context, the request id and the deadline, and reuses
connections. The client closes idle connections before the server does (`shared.server.gunicorn`), because a call fails
if the server closes its connection at the same time.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from pydantic import AnyHttpUrl

from shared.config import HttpTransport
from shared.context import REQUEST_ID, REQUEST_TIMEOUT, get_context, remaining_s
from shared.faults import ActiveFaults, FaultInjectionTransport
from shared.http.spans import instrument_client, instrument_transport

CONNECT_TIMEOUT_S = 1.0
KEEPALIVE_S = 30
"""Seconds after which idle connections are closed; the servers keep them for 75 s."""


@asynccontextmanager
async def open_http_client(
    base_url: AnyHttpUrl | str = "",
    *,
    to: str = "",
    faults: ActiveFaults | None = None,
    timeout_s: float = 5.0,
    max_connections: int = 100,
    transport: HttpTransport = HttpTransport.AIOHTTP,
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for the service named `to`. The active `faults` are injected into its calls.

    `timeout_s` limits each wait for data. `shared.context.enforce_deadline` limits a whole call.
    """
    client = httpx.AsyncClient(
        base_url=str(base_url).rstrip("/"),
        transport=_open_transport(transport, to=to, faults=faults or ActiveFaults(), max_connections=max_connections),
        timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        event_hooks={"request": [_add_propagated_headers]},
        follow_redirects=False,
    )
    instrument_client(client, service=to)
    async with client:
        yield client


@asynccontextmanager
async def open_http_transport(
    transport: HttpTransport, *, to: str, faults: ActiveFaults, max_connections: int = 100
) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """Open the transport without a client, for a caller that needs no cookies, redirects or authentication (ADR 22).

    A call takes two thirds of the CPU time of a call through a client. The caller sets the `timeout` extension of each
    request and adds `propagated_headers`.
    """
    opened = _open_transport(transport, to=to, faults=faults, max_connections=max_connections)
    async with instrument_transport(opened, service=to) as instrumented:
        yield instrumented


def propagated_headers() -> dict[str, str]:
    """Return the headers that carry the deadline and the request id to the called service."""
    headers = {}
    if (left := remaining_s()) is not None:
        headers[REQUEST_TIMEOUT] = str(max(int(left * 1000), 1))
    if request_id := get_context().request_id:
        headers[REQUEST_ID] = request_id
    return headers


def _open_transport(
    name: HttpTransport, *, to: str, faults: ActiveFaults, max_connections: int
) -> httpx.AsyncBaseTransport:
    """Open a transport that injects the active `faults`. Only the package of the chosen transport is imported."""
    limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=KEEPALIVE_S)
    transport: httpx.AsyncBaseTransport
    if name is HttpTransport.HTTPTOOLS:
        from httpx_httptools import HttptoolsTransport

        transport = HttptoolsTransport(limits=limits)
    else:
        from shared.http.aiohttp_transport import open_aiohttp_transport

        transport = open_aiohttp_transport(limits)
    return FaultInjectionTransport(transport=transport, faults=faults, target=to)


async def _add_propagated_headers(request: httpx.Request) -> None:
    for name, value in propagated_headers().items():
        request.headers.setdefault(name, value)
