"""What browsers are told about every answer, and which hosts this gateway answers for."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UnknownHost
from shared.errors import problem_response
from shared.headers import Pair, add_missing, header

ALWAYS: tuple[Pair, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
FOR_DATA: Pair = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Nothing in a JSON answer is to be run or loaded, whatever a browser takes it for."""

FOR_PAGES: Pair = (b"content-security-policy", b"base-uri 'none'; object-src 'none'; frame-ancestors 'none'")
"""Pages have scripts of their own, and connect to the WebSocket's port."""

OVER_TLS: Pair = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""A browser ignores it over plain HTTP (RFC 6797 §7.2), where it would be a lie."""

_FOR_DATA = (*ALWAYS, FOR_DATA)
_FOR_A_PAGE = (*ALWAYS, FOR_PAGES)
_PROBES = "/health/"


class SecurityHeaders:
    """ASGI middleware: the headers above on every answer that has not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protect(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = _FOR_A_PAGE if _is_page(message) else _FOR_DATA
                add_missing(message, (*told, OVER_TLS) if scope["scheme"] == "https" else told)
            await send(message)

        await self._app(scope, receive, protect)


def _is_page(answer: Message) -> bool:
    for name, value in answer["headers"]:
        if name == b"content-type":
            return bool(value.startswith(b"text/html"))
    return False


class KnownHosts:
    """ASGI middleware: 400 for a `Host` that is none of `hosts` (`*.example.com` for all below).

    Whatever is built of a foreign host (a link, a cache's key) would lead elsewhere. Probes come by a pod's address.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app = app
        self._exact = {host.lower() for host in hosts if not host.startswith("*.")}
        self._below = tuple(host[1:].lower() for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http" or scope["path"].startswith(_PROBES) or self._knows(_host(scope)):
            await self._app(scope, receive, send)
            return
        refusal = UnknownHost("This gateway does not answer for the host of the request")
        await problem_response(refusal, instance=scope["path"])(scope, receive, send)

    def _knows(self, host: str) -> bool:
        return host in self._exact or (bool(self._below) and host.endswith(self._below))


def _host(scope: Scope) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    host = (header(scope, b"host") or "").lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
