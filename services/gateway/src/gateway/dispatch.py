"""Which version serves a request that names none in its path: what `API-Version` says, or else the current one."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UnknownVersion
from shared.errors import problem_response
from shared.headers import header

API_VERSION = "API-Version"
_API_VERSION = API_VERSION.lower().encode()


class VersionByHeader:
    """ASGI application: hands a request to one of `versions` (`{"2": app}`) by its `API-Version`, `2` or `v2`.

    The path stays as it was asked for, in problems and in the trace. Answers vary by the header: caches must know.
    Place it where nothing else matched, so that probes, assets and pages keep their paths.
    """

    def __init__(self, *, versions: Mapping[str, ASGIApp], current: str) -> None:
        self._versions = versions
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request, an unknown version by a 400; a WebSocket is closed by the current version."""
        if scope["type"] != "http":
            await self._versions[self._current](scope, receive, send)
            return

        async def say_it_varies(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header(API_VERSION)
            await send(message)

        given = header(scope, _API_VERSION)
        wanted = self._current if given is None else given.strip().lower().removeprefix("v")
        version = self._versions.get(wanted)
        if version is None:
            known = ", ".join(sorted(self._versions))
            refusal = UnknownVersion(f"{API_VERSION} can be {known}; without it you get {self._current}")
            await problem_response(refusal, instance=scope["path"])(scope, receive, say_it_varies)
            return
        await version(scope, receive, say_it_varies)
