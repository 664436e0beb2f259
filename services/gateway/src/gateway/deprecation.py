"""Headers of a deprecated version: since when it is deprecated, when it ends, and what replaces it.

`Deprecation` is a structured date (RFC 9745), `Sunset` an HTTP date (RFC 8594). `Link` leads to the same resource in
the next version (RFC 5829).
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, kw_only=True)
class DeprecatedVersion:
    """The version at `prefix` (`/v1`), deprecated at `since` and removed at `sunset` (both UTC)."""

    prefix: str
    successor: str
    since: datetime
    sunset: datetime

    def headers_for(self, path: str) -> dict[str, str]:
        """Return the headers of a response. `path` is the requested path, with or without the prefix."""
        resource = quote(path.removeprefix(self.prefix), safe="/:@!$&'()*+,;=~")
        return {
            "Deprecation": f"@{self.since.timestamp():.0f}",
            "Sunset": format_datetime(self.sunset, usegmt=True),
            "Link": f'<{self.successor}{resource}>; rel="successor-version"',
        }


class DeprecationMiddleware:
    """ASGI middleware that adds the headers to every response below the prefix.

    It wraps the whole gateway and not only the version's application, so that error responses of other middleware have
    the headers too.
    """

    def __init__(self, app: ASGIApp, *, version: DeprecatedVersion) -> None:
        self._app = app
        self._prefix = f"{version.prefix}/"
        self._deprecated = add_deprecation_headers(app, version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; requests that are not below the prefix pass through."""
        is_deprecated = scope["type"] == "http" and f"{scope['path']}/".startswith(self._prefix)
        await (self._deprecated if is_deprecated else self._app)(scope, receive, send)


def add_deprecation_headers(app: ASGIApp, version: DeprecatedVersion) -> ASGIApp:
    """Return an ASGI application that adds the headers of a deprecated version to each response of `app`."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers_to_add = version.headers_for(scope["path"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in headers_to_add.items():
                    headers.append(name, value)
            await send(message)

        await app(scope, receive, send_with_headers)

    return serve
