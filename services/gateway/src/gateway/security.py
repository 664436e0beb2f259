"""What browsers are told about every answer, and which hosts this gateway answers for."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UnknownHost
from shared.errors import problem_response

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOR_DATA = "default-src 'none'; frame-ancestors 'none'"
"""Nothing in a JSON answer is to be run or loaded, whatever a browser takes it for."""

FOR_PAGES = "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
"""Pages have scripts of their own, and connect to the WebSocket's port."""

OVER_TLS = "max-age=31536000; includeSubDomains"
"""A browser ignores it over plain HTTP (RFC 6797 §7.2), where it would be a lie."""

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
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
                page = headers.get("Content-Type", "").startswith("text/html")
                headers.setdefault("Content-Security-Policy", FOR_PAGES if page else FOR_DATA)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", OVER_TLS)
            await send(message)

        await self._app(scope, receive, protect)


class KnownHosts:
    """ASGI middleware: 400 for a `Host` that is none of `hosts` (`*.example.com` for all below); without any all pass.

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
        if not (self._exact or self._below):
            return True
        return host in self._exact or (bool(self._below) and host.endswith(self._below))


def _host(scope: Scope) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    host = Headers(scope=scope).get("Host", "").lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
