"""One application per version of the API, mounted beside each other: each has its own routes, document and page."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.responses import RedirectResponse, Response

from gateway.answers import Refused, prefix_of, to_client
from gateway.cors import Cors
from gateway.dispatch import API_VERSION
from gateway.limits.middleware import RateLimits
from gateway.limits.rules import rules
from gateway.openapi import describe
from gateway.patience import Patience
from gateway.profiling import ProfileOnDemand
from gateway.resilience.shedding import LoadShedding
from gateway.settings import Settings
from shared.app import NO_TELEMETRY_OF_FASTAPI
from shared.error_handlers import install_error_handlers
from shared.middleware import REQUEST_ID, UnexpectedErrors
from shared.settings import Environment

ACCEPTED = ("Authorization", "Content-Type", "Idempotency-Key", API_VERSION, REQUEST_ID, "traceparent", "baggage")
"""Request headers that pages of other origins may send."""

EXPOSED = (
    *("Location", "Retry-After", "Idempotency-Replayed", REQUEST_ID, "traceresponse"),
    *("Deprecation", "Sunset", "Link"),
    *("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"),
)
"""Response headers that a browser shows to pages of other origins."""


DESCRIPTION = """\
Money is in integer cents, times are RFC 3339 in UTC, and every error is a problem (RFC 9457) whose `trace_id` leads to
what happened. Every answer carries `X-Request-ID` and `traceresponse`.
"""


def mount_version(
    root: FastAPI,
    *,
    version: str,
    routers: Sequence[APIRouter],
    models: Sequence[type[BaseModel]],
) -> FastAPI:
    """Mount an application at `/{version}` that shares the root's state, and its request ids, access lines and spans.

    `models` are request bodies that routes describe without parsing. The routers' routes become the application's own:
    one that is included is looked for twice at each request. What a router bounds for all of its routes stays behind.
    """
    settings: Settings = root.state.settings
    app = FastAPI(
        title=f"Hopline API {version}",
        summary="An online shop whose every hop you can watch",
        version=version,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": f"/{version}"}],
        root_path_in_servers=False,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY_OF_FASTAPI,
    )
    app.state = root.state
    install_error_handlers(app)
    app.add_exception_handler(Refused, _on_refused)
    app.add_middleware(Patience, deadline_s=settings.request_seconds)
    app.add_middleware(RateLimits, rules=rules(settings), deadline_s=settings.request_seconds)
    app.add_middleware(LoadShedding, load=root.state.load)
    app.add_middleware(UnexpectedErrors)
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=ACCEPTED,
            expose_headers=EXPOSED,
        )
    if settings.environment is not Environment.PRODUCTION:
        app.add_middleware(ProfileOnDemand)
    for router in routers:
        app.router.routes.extend(router.routes)
    describe(app, models)
    app.add_route("/", _to_docs, include_in_schema=False)
    root.mount(f"/{version}", app)
    root.router.routes.insert(0, root.router.routes.pop())  # looked at first: it is what nearly every request asks for
    return app


async def _to_docs(request: Request) -> Response:
    return RedirectResponse(f"{request.scope['root_path']}/docs")


async def _on_refused(request: Request, refusal: Exception) -> Response:
    """The problem of one service stands for the whole question."""
    assert isinstance(refusal, Refused)  # noqa: S101 - registered for this class only
    return to_client(refusal.answer, prefix=prefix_of(request), path=request.scope["path"])
