"""The app factory: what every service has, once. A service's `main.py` adds its routers and its lifespan."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import Span
from opentelemetry.util.http import redact_url
from starlette.middleware import Middleware
from starlette.types import Scope

from shared.body_limit import BodyLimit
from shared.content_coding import ContentCoding
from shared.deadline import Deadline
from shared.debug import router as debug_router
from shared.error_handlers import install_error_handlers
from shared.head import HeadAsGet
from shared.health import Health
from shared.health import router as health_router
from shared.logging import configure_logging, debug_on_signal
from shared.loop_delay import loop_delay_measured
from shared.middleware import RequestContext, UnexpectedErrors
from shared.openapi import PROBLEMS
from shared.profiling import ProfileOnDemand
from shared.routing import route_of
from shared.settings import ConfigurationError, Environment, ServiceSettings
from shared.telemetry import configure_telemetry, telemetry_flushed_at_exit

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024

NO_TELEMETRY_OF_FASTAPI: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPIInstrumentor makes the spans (ADR 20). Mounted applications need this as well."""

UNTRACED = "^[^/]+//[^/]+/(health/|ws$)"
"""URLs without spans and metrics: probes would hide all else, and a WebSocket's span would stay open for hours."""

MIDDLEWARE: Final = (
    Middleware(UnexpectedErrors),
    Middleware(Deadline),
    Middleware(ContentCoding),
    Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES),
    Middleware(HeadAsGet),
)
"""The middleware of every service, outermost first."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    *,
    name: str,
    settings: ServiceSettings,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    summary: str,
    middleware: Sequence[Middleware] = MIDDLEWARE,
    public: bool = False,
) -> FastAPI:
    """A FastAPI application with logs, telemetry, problems, probes and body limit in place.

    `lifespan` opens what the service needs, stores it on `app.state`, registers probes at `app.state.health`, and
    closes it all in reverse order; telemetry is flushed last, so that the closing itself is seen. `middleware`, the
    first outermost, is within RequestContext; a list of other middleware includes MIDDLEWARE. `public` is for the
    service that clients call: whether a trace from outside is sampled is then decided here.
    """
    configure_logging(service=name, level=settings.log_level, log_format=settings.log_format)
    configure_telemetry(service=name, settings=settings, public=public)
    app = FastAPI(
        title=f"Hopline {name}",
        summary=summary,
        lifespan=_started(name, lifespan),
        responses=PROBLEMS,
        telemetry=NO_TELEMETRY_OF_FASTAPI,
        docs_url=None,  # the page would load scripts from another host; the gateway's own does not
        redoc_url=None,
        redirect_slashes=False,  # the Location would have the host of the client's Host header
    )
    app.state.settings = settings
    app.state.health = Health(tells_why=settings.environment is not Environment.PRODUCTION)
    classes: list[object] = [each.cls for each in middleware]
    if settings.environment is not Environment.PRODUCTION and ProfileOnDemand not in classes:
        middleware = [Middleware(ProfileOnDemand), *middleware]
    for each in reversed(middleware):
        app.add_middleware(each.cls, *each.args, **each.kwargs)
    app.add_middleware(RequestContext, route_of=route_of)  # added last, so it is outermost
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"], server_request_hook=redact_query
    )
    install_error_handlers(app)
    for router in routers:  # before the others: routes are matched in this order, by the instrumentation as well
        app.include_router(router)
    app.include_router(health_router)
    if settings.environment is Environment.DEVELOPMENT:
        app.include_router(debug_router)
    return app


def redact_query(span: Span, scope: Scope) -> None:
    """Redact signatures and credentials of object stores in `url.query`, which the instrumentation sets as it came."""
    if query := scope["query_string"].decode("latin-1"):
        span.set_attribute("url.query", redact_url(f"?{query}").removeprefix("?"))


def _started(name: str, lifespan: Lifespan) -> Lifespan:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        health: Health = app.state.health
        async with telemetry_flushed_at_exit(), loop_delay_measured():
            try:
                debug_on_signal(app.state.settings.log_level)
                async with lifespan(app):
                    health.started = True
                    log.info("service_started")
                    yield
                    log.info("service_stopping")
            except ConfigurationError as error:
                log.critical("start_refused", reason=str(error))
                raise SystemExit(f"{name} cannot start: {error}") from None
        log.info("service_stopped")

    return run
