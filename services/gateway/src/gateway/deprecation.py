"""What every answer of a version that is going away says: since when, until when, and what comes after it.

`Deprecation` is RFC 9745's, a structured date (`@` and Unix seconds); `Sunset` is RFC 8594's, an HTTP date; the link's
relation is RFC 5829's, and leads to the same resource in the version that follows.
"""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """The end of the version at `prefix` (`/v1`): announced at `since`, due at `sunset` (both UTC)."""

    prefix: str
    successor: str
    since: datetime
    sunset: datetime

    def headers_for(self, path: str) -> dict[str, str]:
        """The three headers of an answer to a request for `path`, which may lack the prefix."""
        resource = quote(path.removeprefix(self.prefix), safe="/:@!$&'()*+,;=~")
        return {
            "Deprecation": f"@{self.since.timestamp():.0f}",
            "Sunset": format_datetime(self.sunset, usegmt=True),
            "Link": f'<{self.successor}{resource}>; rel="successor-version"',
        }


class Deprecated:
    """ASGI middleware: puts a retirement's headers on every answer below its prefix, whoever gives the answer.

    Around the version's application it would miss what is refused before: too large a body, an unknown host.
    """

    def __init__(self, app: ASGIApp, *, retirement: Retirement) -> None:
        self._app = app
        self._retirement = retirement

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; those that are not below the prefix pass through."""
        if scope["type"] != "http" or not self._concerns(scope["path"]):
            await self._app(scope, receive, send)
            return
        await retiring(self._app, self._retirement)(scope, receive, send)

    def _concerns(self, path: str) -> bool:
        return path == self._retirement.prefix or path.startswith(f"{self._retirement.prefix}/")


def retiring(app: ASGIApp, retirement: Retirement) -> ASGIApp:
    """`app` with a retirement's headers on each of its answers."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        told = retirement.headers_for(scope["path"])

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in told.items():
                    headers.append(name, value)
            await send(message)

        await app(scope, receive, tell)

    return serve
