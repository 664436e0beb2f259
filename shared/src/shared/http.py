"""The HTTP client: httpx's interface over aiohttp's transport, some 40 % of httpx's own cost per call (ADR 5).

Every call has a timeout, carries the trace context, the request id and the deadline, and reuses kept-alive connections,
which the client drops before the servers do (see `shared.gunicorn`): one that both ends close at once is an error.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import AnyHttpUrl

from shared.calls import ToldCalls
from shared.deadline import REQUEST_TIMEOUT, as_header, remaining_s
from shared.faults import Faults, FaultyCalls
from shared.middleware import REQUEST_ID, current_request_id

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
    """A client for one upstream. `timeout_s` bounds each wait for bytes, `shared.deadline.within` a whole call.

    Its calls suffer the `faults` towards the service named `to`.
    """
    async with _open_session(connect_timeout_s=connect_timeout_s, max_connections=max_connections) as session:
        transport = FaultyCalls(AiohttpTransport(client=session), faults=faults or Faults(), target=to)
        client = httpx.AsyncClient(
            base_url=str(base_url).rstrip("/"),
            transport=ToldCalls(transport),
            timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
            event_hooks={"request": [_carry_on]},
            follow_redirects=False,
        )
        async with client:
            yield client


@asynccontextmanager
async def _open_session(*, connect_timeout_s: float, max_connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """The connections alone: aiohttp bounds the connect and adds nothing, httpx does the rest."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=KEEPALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),  # one user's cookie must never ride on another's request
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
    ) as session:
        yield session


async def _carry_on(request: httpx.Request) -> None:
    left = remaining_s()
    if left is not None:
        request.headers[REQUEST_TIMEOUT] = as_header(left)
    current = current_request_id.get()
    if current and REQUEST_ID not in request.headers:
        request.headers[REQUEST_ID] = current
