"""Security headers for browsers, and the hosts that the gateway accepts."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UnknownHostError
from shared.errors.problems import problem_response
from shared.web.headers import Header, add_missing_headers, get_header

COMMON_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
DATA_POLICY: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""A browser runs and loads nothing from a JSON response."""

PAGE_POLICY: Header = (b"content-security-policy", b"base-uri 'none'; object-src 'none'; frame-ancestors 'none'")
"""The documentation pages have inline scripts. The page at `/` sets a stricter policy (`gateway.browser.page`)."""

HSTS: Header = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""For HTTPS only: browsers ignore it over plain HTTP (RFC 6797 §7.2)."""

_DATA_HEADERS = (*COMMON_HEADERS, DATA_POLICY)
_PAGE_HEADERS = (*COMMON_HEADERS, PAGE_POLICY)
_PROBES = "/health/"


class SecurityHeadersMiddleware:
    """ASGI middleware that adds the security headers of this module to responses that do not have them yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = _PAGE_HEADERS if _is_page(message) else _DATA_HEADERS
                add_missing_headers(message, (*headers, HSTS) if scope["scheme"] == "https" else headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _is_page(message: Message) -> bool:
    for name, value in message["headers"]:
        if name == b"content-type":
            return bool(value.startswith(b"text/html"))
    return False


class AllowedHostsMiddleware:
    """ASGI middleware that rejects requests whose `Host` is not in `hosts`, with 400.

    `*.example.com` allows all subdomains. A forged host must not get into links or cache keys. Probes are served for
    any host, because their `Host` is the address of a pod.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts if not host.startswith("*.")}
        self._suffixes = tuple(host[1:].lower() for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other protocols pass through."""
        if scope["type"] != "http" or scope["path"].startswith(_PROBES) or self._is_allowed(_get_host(scope)):
            await self._app(scope, receive, send)
            return
        problem = UnknownHostError("The Host of this request is not in the gateway's ALLOWED_HOSTS")
        await problem_response(problem, instance=scope["path"])(scope, receive, send)

    def _is_allowed(self, host: str) -> bool:
        return host in self._hosts or (bool(self._suffixes) and host.endswith(self._suffixes))


def _get_host(scope: Scope) -> str:
    """Return the host without the port. An IPv6 address keeps its brackets."""
    host = (get_header(scope, b"host") or "").lower()
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
