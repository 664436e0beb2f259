"""httpx over aiohttp: the transport of httpx-aiohttp, corrected to raise the exceptions that httpx documents.

httpx-aiohttp 0.2 raises ConnectTimeout if the connection is refused or if the server closed it, and does not convert
aiohttp's error for an invalid response.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import cache

import aiohttp
import httpx
import httpx_aiohttp

_ERRORS: tuple[tuple[type[aiohttp.ClientError], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpx.ReadError),
)
"""Exceptions of aiohttp with the exceptions of httpx that replace them. The first match applies."""


class _Attempts:
    """Counts how often aiohttp sends one request, and calls `on_resend` before every time but the first."""

    def __init__(self, on_resend: Callable[[], None]) -> None:
        self._on_resend = on_resend
        self._count = 0

    def count(self) -> None:
        if self._count:
            self._on_resend()
        self._count += 1


_ssl_context = cache(httpx.create_ssl_context)
"""httpx-aiohttp requires a context, although the session uses its own. Creating one takes 30 ms, so it is cached."""

_attempts: ContextVar[_Attempts | None] = ContextVar("attempts", default=None)


class AiohttpTransport(httpx_aiohttp.AiohttpTransport):
    """An httpx transport over `session`, which needs `count_attempts` among its middlewares.

    aiohttp sends an idempotent request a second time if the server closed the connection (RFC 9112 §9.3.1). The request
    extension `on_resend`, a function without parameters, is called before that.
    """

    def __init__(self, *, session: aiohttp.ClientSession) -> None:
        super().__init__(client=session, verify=_ssl_context())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response once its head has arrived; raises httpx.TransportError."""
        on_resend = request.extensions.get("on_resend")
        token = _attempts.set(_Attempts(on_resend) if on_resend else None)
        try:
            return await super().handle_async_request(request)
        except (httpx.TransportError, aiohttp.ClientError) as error:
            cause = error.__cause__ if isinstance(error, httpx.TransportError) else error
            documented = next(
                (httpx_error for aiohttp_error, httpx_error in _ERRORS if isinstance(cause, aiohttp_error)), None
            )
            if documented is None:
                raise
            raise documented(str(cause), request=request) from cause
        finally:
            _attempts.reset(token)


async def count_attempts(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Count one attempt at a request: a client middleware of aiohttp."""
    attempts = _attempts.get()
    if attempts is not None:
        attempts.count()
    return await handler(request)


def open_aiohttp_transport(limits: httpx.Limits) -> AiohttpTransport:
    """Open a transport with its own session. None as the number of connections means no limit."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limits.max_connections or 0, keepalive_timeout=limits.keepalive_expiry),
        cookie_jar=aiohttp.DummyCookieJar(),  # a user's cookie must not be sent with another user's request
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None),
        middlewares=(count_attempts,),
    )
    return AiohttpTransport(session=session)
