"""The transport, which implements httpx's interface with the connection pool."""

import ssl
from collections.abc import Callable

import httpx

from httpx_httptools.connection import Connection, Origin
from httpx_httptools.pool import ConnectionPool
from httpx_httptools.request import encode_request

DEFAULT_LIMITS = httpx.Limits(max_connections=100, keepalive_expiry=30.0)

_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE", "OPTIONS", "TRACE"})


class HttptoolsTransport(httpx.AsyncBaseTransport):
    """Transport for HTTP/1.1: `httpx.AsyncClient(transport=HttptoolsTransport())`.

    `ssl_context` is for https URLs; the default verifies certificates. The timeouts `connect`, `pool` and `read` of
    `httpx.Timeout` apply. `read` limits the wait for each part of the head and of the body. `write` has no effect,
    because the event loop accepts the whole request immediately.

    The server may close a kept connection while a request is on its way. If no byte of a response has arrived, an
    idempotent request is then sent once more on a new connection (RFC 9112 §9.3.1). The request extension `on_resend`,
    a function without parameters, is called before. A cancelled request closes its connection, so that the server can
    stop as well.
    """

    def __init__(self, *, limits: httpx.Limits = DEFAULT_LIMITS, ssl_context: ssl.SSLContext | None = None) -> None:
        self._pool = ConnectionPool(limits, ssl_context)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the response when its head has arrived.

        Raises httpx's errors: LocalProtocolError and UnsupportedProtocol before anything is sent, ConnectError,
        ConnectTimeout, PoolTimeout, ReadTimeout, ReadError (the connection was reset), and RemoteProtocolError (the
        server disconnected, or its response is invalid).
        """
        url = request.url
        origin = Origin(url.raw_scheme, url.raw_host, url.port)
        if origin.scheme not in {b"http", b"https"}:
            raise httpx.UnsupportedProtocol(f"Unsupported URL scheme {url.scheme!r}. Expected http or https.")
        data = encode_request(request)
        timeout: dict[str, float | None] = request.extensions.get("timeout", {})
        await self._pool.wait_for_slot(timeout.get("pool"))
        kept = self._pool.take_idle(origin)
        read_timeout_s = timeout.get("read")
        if kept is not None:
            try:
                return await _exchange(kept, data, read_timeout_s)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                if kept.received_bytes or request.method not in _IDEMPOTENT or self._pool.closed:
                    raise
            on_resend: Callable[[], None] | None = request.extensions.get("on_resend")
            if on_resend is not None:
                on_resend()
            await self._pool.wait_for_slot(timeout.get("pool"))
        return await _exchange(await self._pool.connect(origin, timeout.get("connect")), data, read_timeout_s)

    async def aclose(self) -> None:
        """Close all connections. Requests in flight fail with RemoteProtocolError."""
        await self._pool.aclose()


async def _exchange(connection: Connection, request: bytes, read_timeout_s: float | None) -> httpx.Response:
    response = connection.send(request, read_timeout_s=read_timeout_s)
    try:
        await response.wait_for_head()
    except BaseException:
        await response.aclose()
        raise
    return httpx.Response(
        response.status, headers=response.headers, stream=response, extensions={"http_version": b"HTTP/1.1"}
    )
