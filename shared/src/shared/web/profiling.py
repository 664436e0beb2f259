"""`X-Profile: text`, `html` or `speedscope`: the response is a profile of the request.

This is disabled in production, because a profile shows code, and a sample is taken every millisecond. A process
profiles one request at a time, because samplers of the same thread interfere.
"""

import asyncio
from typing import Literal, get_args

from pyinstrument import Profiler
from pyinstrument.renderers import HTMLRenderer, Renderer, SpeedscopeRenderer
from pyinstrument.renderers.console import ConsoleRenderer
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors.problems import GatewayTimeoutError, ProfilerBusyError, UnknownProfileError, problem_response
from shared.web.headers import get_header
from shared.web.middleware import PROBES

PROFILE = "X-Profile"
_PROFILE = PROFILE.lower().encode()
PROFILED_STATUS = "X-Profile-Status"
"""Response header: the status of the response that the profile replaces."""

INTERVAL_S = 0.001
TIMEOUT_S = 15.0
"""Time in seconds after which a profiled request is cancelled, which limits the number of samples."""

ProfileFormat = Literal["text", "html", "speedscope"]

_MEDIA_TYPES: dict[ProfileFormat, str] = {
    "text": "text/plain",
    "html": "text/html",
    "speedscope": "application/json",
}

_profiling = asyncio.Lock()
"""Held while this process profiles a request. Other requests with `X-Profile` get a 503 instead of waiting."""


class ProfilingMiddleware:
    """ASGI middleware that profiles the requests with `X-Profile`. Others, and probes, pass through.

    A request that takes longer than `timeout_s` seconds is cancelled.
    """

    def __init__(self, app: ASGIApp, *, timeout_s: float = TIMEOUT_S) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: 400 for an unknown profile format, 503 while another profile is being created."""
        served = scope["type"] == "http" and not scope["path"].startswith(PROBES)
        value = get_header(scope, _PROFILE) if served else None
        if value is None:
            await self._app(scope, receive, send)
            return
        await (await self._profile(value, scope, receive))(scope, receive, send)

    async def _profile(self, value: str, scope: Scope, receive: Receive) -> Response:
        kind = _parse_format(value)
        if kind is None:
            unknown = UnknownProfileError(f"{PROFILE} can be {', '.join(get_args(ProfileFormat))}")
            return problem_response(unknown, instance=scope["path"])
        if _profiling.locked():
            return problem_response(ProfilerBusyError(), instance=scope["path"])
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        async with _profiling:
            profiler = Profiler(interval=INTERVAL_S, async_mode="enabled")
            try:
                with profiler:
                    async with asyncio.timeout(self._timeout_s) as limit:
                        await self._app(scope, receive, note_status)
            except TimeoutError:
                if not limit.expired():
                    raise
                status = status or GatewayTimeoutError.status
            page = await asyncio.to_thread(profiler.output, _renderer(kind))
        return Response(page, media_type=_MEDIA_TYPES[kind], headers={PROFILED_STATUS: str(status)})


def _parse_format(value: str) -> ProfileFormat | None:
    return next((kind for kind in get_args(ProfileFormat) if kind == value.strip().lower()), None)


def _renderer(kind: ProfileFormat) -> Renderer:
    if kind == "html":
        return HTMLRenderer()
    return ConsoleRenderer(unicode=True, color=False) if kind == "text" else SpeedscopeRenderer()
