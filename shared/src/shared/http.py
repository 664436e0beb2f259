"""The HTTP client of every process: `httpx.AsyncClient`, over the transport that `HTTP_TRANSPORT` names (ADR 22).

Every call has a timeout, has a CLIENT span, carries the trace context, the request id and the deadline, and reuses
kept-alive connections. The client drops them before the servers do (see `shared.gunicorn`): a call on a connection that
both ends close at once fails.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
from pydantic import AnyHttpUrl

from shared.aiohttp_transport import AiohttpTransport, count_attempts
from shared.calls import RecordCancellation, instrument_client, instrument_transport
from shared.deadline import REQUEST_TIMEOUT, as_header, remaining_s
from shared.faults import Faults, FaultyCalls
from shared.middleware import REQUEST_ID, current_request_id
from shared.settings import HttpTransport, ServiceSettings

KEEPALIVE_S = 30
"""Idle connections are dropped after this; the servers keep them for 75 s."""


@asynccontextmanager
async def open_http_client(
    base_url: AnyHttpUrl | str = "",
    *,
    to: str = "",
    faults: Faults | None = None,
    timeout_s: float = 5.0,
    connect_timeout_s: float = 1.0,
    max_connections: int = 100,
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for one upstream, the service named `to`, whose `faults` are injected into its calls.

    `timeout_s` bounds each wait for bytes, `shared.deadline.within` a whole call.
    """
    client = httpx.AsyncClient(
        base_url=str(base_url).rstrip("/"),
        transport=_transport(to=to, faults=faults or Faults(), max_connections=max_connections),
        timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
        event_hooks={"request": [_propagate]},
        follow_redirects=False,
    )
    instrument_client(client, service=to)
    async with client:
        yield client


@asynccontextmanager
async def open_http_transport(
    *, to: str, faults: Faults, max_connections: int = 100
) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """Open what is below such a client, for a caller that needs no cookies, redirects and authentication (ADR 22).

    A call takes two thirds of a client's processor time. The caller sets the `timeout` extension of each request, and
    adds `propagated_headers` to it.
    """
    transport = _transport(to=to, faults=faults, max_connections=max_connections)
    async with instrument_transport(transport, service=to) as instrumented:
        yield instrumented


def propagated_headers() -> dict[str, str]:
    """Return the headers that carry the deadline and the request id to the called service."""
    headers = {}
    left = remaining_s()
    if left is not None:
        headers[REQUEST_TIMEOUT] = as_header(left)
    if current := current_request_id.get():
        headers[REQUEST_ID] = current
    return headers


def _transport(*, to: str, faults: Faults, max_connections: int) -> httpx.AsyncBaseTransport:
    transport = _open_transport(ServiceSettings().http_transport, max_connections=max_connections)
    return RecordCancellation(FaultyCalls(transport, faults=faults, target=to))


def _open_transport(name: HttpTransport, *, max_connections: int) -> httpx.AsyncBaseTransport:
    if name is HttpTransport.HTTPTOOLS:
        from httpx_httptools import HttptoolsTransport

        limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=KEEPALIVE_S)
        return HttptoolsTransport(limits=limits)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=KEEPALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),  # a user's cookie must not be sent with another user's request
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None),
        middlewares=(count_attempts,),
    )
    return AiohttpTransport(session)


async def _propagate(request: httpx.Request) -> None:
    for name, value in propagated_headers().items():
        request.headers.setdefault(name, value)
