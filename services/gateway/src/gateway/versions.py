"""The version of the API that serves a request: the one in the path, that of `API-Version`, or the current one."""

import re
from collections.abc import Mapping

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UnknownVersionError
from gateway.responses import UpstreamResponseError, get_version_prefix, to_client_response
from shared.errors.problems import problem_response
from shared.web.headers import get_header

API_VERSION = "API-Version"
_API_VERSION = API_VERSION.lower().encode()
_VERSION_IN_PATH = re.compile(r"/(v[12]|browser)(/|$)")
"""The routes of the page (`gateway.browser`) have no versions: they change together with it."""

_PAGES = frozenset({"/", "/openapi.json"})
_UNVERSIONED = ("/health/", "/assets/", "/debug/")


def is_api_request(scope: Scope) -> bool:
    """Return whether a request is for the API. Probes, the page and assets have no version and no limits."""
    return scope["type"] == "http" and scope["path"] not in _PAGES and not scope["path"].startswith(_UNVERSIONED)


async def render_upstream_error(request: Request, error: Exception) -> Response:
    """Return the problem of a service as the response to a request for an aggregate."""
    assert isinstance(error, UpstreamResponseError)  # noqa: S101 - registered for this class only
    return to_client_response(error.response, prefix=get_version_prefix(request), path=request.scope["path"])


class ApiVersionMiddleware:
    """ASGI middleware that selects the version by `API-Version` (`1` or `v1`) if the path names none.

    `older` maps earlier versions to their applications; `app` serves `current`. Problems and traces contain the path as
    it was requested. Responses have `Vary: API-Version` for caches.
    """

    def __init__(self, app: ASGIApp, *, older: Mapping[str, ASGIApp], current: str) -> None:
        self._app = app
        self._versions = {**older, current: app}
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. An unknown version is rejected with 400."""
        if not is_api_request(scope) or _VERSION_IN_PATH.match(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_with_vary(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header(API_VERSION)
            await send(message)

        given = get_header(scope, _API_VERSION)
        requested = self._current if given is None else given.strip().lower().removeprefix("v")
        version = self._versions.get(requested)
        if version is None:
            known = ", ".join(sorted(self._versions))
            problem = UnknownVersionError(f"{API_VERSION} must be one of: {known}. The default is {self._current}")
            await problem_response(problem, instance=scope["path"])(scope, receive, send_with_vary)
            return
        await version(scope, receive, send_with_vary)
