"""`X-Profile: text`, `html` or `speedscope`: the response is a profile of how the request was served.

Not for production: a profile shows the code, and costs a sample each millisecond. A process makes one profile at a
time, because samplers of the same thread disturb each other.
"""

import asyncio
from typing import Literal, get_args

from pyinstrument import Profiler
from pyinstrument.renderers import HTMLRenderer, Renderer, SpeedscopeRenderer
from pyinstrument.renderers.console import ConsoleRenderer
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import GatewayTimeout, ProfilerBusy, UnknownProfile, problem_response
from shared.headers import header
from shared.middleware import PROBES

PROFILE = "X-Profile"
_PROFILE = PROFILE.lower().encode()
PROFILED_STATUS = "X-Profile-Status"
"""Status of the response that the profile replaces."""

INTERVAL_S = 0.001
TIMEOUT_S = 15.0
"""A request that takes longer is cancelled, and the profile shows it until then. It bounds the number of samples."""

Kind = Literal["text", "html", "speedscope"]

_MEDIA_TYPES: dict[Kind, str] = {
    "text": "text/plain",
    "html": "text/html",
    "speedscope": "application/json",
}

_profiling = asyncio.Lock()
"""Held while this process makes a profile; never waited for."""


class ProfileOnDemand:
    """ASGI middleware that profiles the requests with `X-Profile`. Others, and probes, pass through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, with a 400 for an unknown profile and a 503 while another one is made."""
        served = scope["type"] == "http" and not scope["path"].startswith(PROBES)
        wanted = header(scope, _PROFILE) if served else None
        if wanted is None:
            await self._app(scope, receive, send)
            return
        await (await self._profile(wanted, scope, receive))(scope, receive, send)

    async def _profile(self, wanted: str, scope: Scope, receive: Receive) -> Response:
        kind = _kind(wanted)
        if kind is None:
            unknown = UnknownProfile(f"{PROFILE} can be {', '.join(get_args(Kind))}")
            return problem_response(unknown, instance=scope["path"])
        if _profiling.locked():
            return problem_response(ProfilerBusy(), instance=scope["path"])
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        async with _profiling:
            profiler = Profiler(interval=INTERVAL_S, async_mode="enabled")
            try:
                with profiler:
                    async with asyncio.timeout(TIMEOUT_S) as limit:
                        await self._app(scope, receive, note_status)
            except TimeoutError:
                if not limit.expired():
                    raise
                status = status or GatewayTimeout.status
            page = await asyncio.to_thread(profiler.output, _renderer(kind))
        return Response(page, media_type=_MEDIA_TYPES[kind], headers={PROFILED_STATUS: str(status)})


def _kind(wanted: str) -> Kind | None:
    return next((kind for kind in get_args(Kind) if kind == wanted.strip().lower()), None)


def _renderer(kind: Kind) -> Renderer:
    if kind == "html":
        return HTMLRenderer()
    return ConsoleRenderer(unicode=True, color=False) if kind == "text" else SpeedscopeRenderer()
