"""`X-Profile: text`, `html` or `speedscope`: the answer is a profile of how the request was answered.

Not for production, where it is not even installed: a profile shows the code, and costs a sample each millisecond.
"""

from typing import Literal, get_args

from pyinstrument import Profiler
from pyinstrument.renderers import HTMLRenderer, Renderer, SpeedscopeRenderer
from pyinstrument.renderers.console import ConsoleRenderer
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import UnknownProfile
from gateway.versions import is_api_request
from shared.errors import problem_response
from shared.headers import header

PROFILE = "X-Profile"
_PROFILE = PROFILE.lower().encode()
PROFILED_STATUS = "X-Profile-Status"
"""The status of the answer that the profile stands for."""

INTERVAL_S = 0.001

Kind = Literal["text", "html", "speedscope"]

_MEDIA_TYPES: dict[Kind, str] = {
    "text": "text/plain",
    "html": "text/html",
    "speedscope": "application/json",
}


class ProfileOnDemand:
    """ASGI middleware: samples the request's own tasks where it asks to; others pass by untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; others pass through."""
        wanted = header(scope, _PROFILE) if is_api_request(scope) else None
        if wanted is None:
            await self._app(scope, receive, send)
            return
        kind = _kind(wanted)
        if kind is None:
            refusal = UnknownProfile(f"{PROFILE} can be {', '.join(get_args(Kind))}")
            await problem_response(refusal, instance=scope["path"])(scope, receive, send)
            return
        status = 0

        async def swallow(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        profiler = Profiler(interval=INTERVAL_S, async_mode="enabled")
        with profiler:
            await self._app(scope, receive, swallow)
        page = profiler.output(_renderer(kind))
        response = Response(page, media_type=_MEDIA_TYPES[kind], headers={PROFILED_STATUS: str(status)})
        await response(scope, receive, send)


def _kind(wanted: str) -> Kind | None:
    return next((kind for kind in get_args(Kind) if kind == wanted.strip().lower()), None)


def _renderer(kind: Kind) -> Renderer:
    if kind == "html":
        return HTMLRenderer()
    return ConsoleRenderer(unicode=True, color=False) if kind == "text" else SpeedscopeRenderer()
