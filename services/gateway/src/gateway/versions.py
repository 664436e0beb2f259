"""The version of the API that serves a request: its path names it, or `API-Version`, or else it is the current one."""

import re
from collections.abc import Mapping

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.answers import Refused, prefix_of, to_client
from gateway.errors import UnknownVersion
from shared.errors import problem_response
from shared.headers import header

API_VERSION = "API-Version"
_API_VERSION = API_VERSION.lower().encode()
_IN_PATH = re.compile(r"/v[12](/|$)")
_PAGES = frozenset({"/", "/openapi.json"})
_BELOW = ("/health/", "/assets/", "/debug/")


def is_api_request(scope: Scope) -> bool:
    """Whether this is a request for the API; probes, the front page and assets are not limited, shed or versioned."""
    return scope["type"] == "http" and scope["path"] not in _PAGES and not scope["path"].startswith(_BELOW)


async def on_refused(request: Request, refusal: Exception) -> Response:
    """Return the problem of one service as the response to a request for an aggregate."""
    assert isinstance(refusal, Refused)  # noqa: S101 - registered for this class only
    return to_client(refusal.answer, prefix=prefix_of(request), path=request.scope["path"])


class VersionByHeader:
    """ASGI middleware: serves a request whose path names no version by the one that `API-Version` names, `1` or `v1`.

    `older` are the applications of versions before `current`, which the application itself serves. The path stays as
    requested, in problems and in the trace. Responses vary by the header, for caches.
    """

    def __init__(self, app: ASGIApp, *, older: Mapping[str, ASGIApp], current: str) -> None:
        self._app = app
        self._versions = {**older, current: app}
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, with a 400 for an unknown version."""
        if not is_api_request(scope) or _IN_PATH.match(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header(API_VERSION)
            await send(message)

        given = header(scope, _API_VERSION)
        wanted = self._current if given is None else given.strip().lower().removeprefix("v")
        version = self._versions.get(wanted)
        if version is None:
            known = ", ".join(sorted(self._versions))
            refusal = UnknownVersion(f"{API_VERSION} can be {known}; without it you get {self._current}")
            await problem_response(refusal, instance=scope["path"])(scope, receive, send_varying)
            return
        await version(scope, receive, send_varying)
