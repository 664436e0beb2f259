"""The app factory of every service. A service's `main.py` adds its routers and its lifespan."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import Span
from opentelemetry.util.http import redact_url
from starlette.middleware import Middleware
from starlette.types import Scope

from shared.config import ConfigurationError, Environment, ServiceSettings
from shared.context import GRACE_S
from shared.logging.setup import configure_logging, debug_on_signal
from shared.telemetry.loop_delay import measure_loop_delay
from shared.telemetry.setup import configure_telemetry, flush_telemetry_at_exit
from shared.web.deadline import DeadlineMiddleware
from shared.web.debug import router as debug_router
from shared.web.error_handlers import install_error_handlers
from shared.web.head import HeadAsGetMiddleware
from shared.web.health import Health
from shared.web.health import router as health_router
from shared.web.middleware import RequestContextMiddleware, UnexpectedErrorMiddleware
from shared.web.openapi import PROBLEMS
from shared.web.profiling import ProfilingMiddleware
from shared.web.request_body import RequestBodyMiddleware
from shared.web.routing import get_route_template

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024

NO_TELEMETRY_OF_FASTAPI: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPIInstrumentor creates the spans (ADR 20). Pass it to mounted applications as well."""

UNTRACED = "^[^/]+//[^/]+/(health/|ws$|browser/(resilience|telemetry|traces)($|/))"
"""URLs without spans and metrics: probes and the polling of pages are too frequent, and the span of a WebSocket would
last for hours."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Options of the gateway, which receives the requests of clients.

    `outer` and `inner` are middleware around and inside the middleware of every service, outermost first. A request
    has `timeout_s` seconds, and is cancelled `grace_s` seconds after its deadline.
    """

    outer: Sequence[Middleware] = ()
    inner: Sequence[Middleware] = ()
    timeout_s: float | None = None
    grace_s: float = GRACE_S


def build_app(
    *,
    name: str,
    settings: ServiceSettings,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    summary: str,
    edge: Edge | None = None,
) -> FastAPI:
    """Return a FastAPI application with logs, telemetry, problems, probes and limits in place.

    `lifespan` opens the resources of the service, stores them on `app.state`, registers probes at `app.state.health`,
    and closes the resources in reverse order; telemetry is flushed last, so that it includes the shutdown. Only the
    service that clients call has an `edge`: that service decides itself whether a trace from outside is sampled.
    """
    configure_logging(service=name, level=settings.log_level, log_format=settings.log_format)
    configure_telemetry(service=name, settings=settings, public=edge is not None)
    edge = edge or Edge()
    app = FastAPI(
        title=f"Hopline {name}",
        summary=summary,
        lifespan=_wrap_lifespan(name, lifespan),
        responses=PROBLEMS,
        telemetry=NO_TELEMETRY_OF_FASTAPI,
        docs_url=None,  # FastAPI's page loads scripts from another host; the gateway has a separate page
        redoc_url=None,
        redirect_slashes=False,  # the Location would contain the Host header of the client
    )
    app.state.settings = settings
    app.state.health = Health(expose_errors=settings.environment is not Environment.PRODUCTION)
    for layer in reversed(_middleware(settings, edge)):
        app.add_middleware(layer.cls, *layer.args, **layer.kwargs)
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls=UNTRACED, exclude_spans=["receive", "send"], server_request_hook=redact_query
    )
    install_error_handlers(app)
    for router in routers:  # first, because requests are matched in this order, and most requests are for these routes
        app.include_router(router)
    app.include_router(health_router)
    if settings.environment is Environment.DEVELOPMENT:
        app.include_router(debug_router)
    return app


def _middleware(settings: ServiceSettings, edge: Edge) -> list[Middleware]:
    """Return the middleware of a service, outermost first."""
    profiling = [Middleware(ProfilingMiddleware)] if settings.environment is not Environment.PRODUCTION else []
    return [
        Middleware(RequestContextMiddleware, get_route_template=get_route_template, timeout_s=edge.timeout_s),
        *edge.outer,
        *profiling,
        Middleware(UnexpectedErrorMiddleware),
        Middleware(DeadlineMiddleware, grace_s=edge.grace_s),
        Middleware(RequestBodyMiddleware, max_bytes=MAX_BODY_BYTES),
        Middleware(HeadAsGetMiddleware),
        *edge.inner,
    ]


def redact_query(span: Span, scope: Scope) -> None:
    """Redact signatures and credentials of object stores in `url.query`."""
    if query := scope["query_string"].decode("latin-1"):
        span.set_attribute("url.query", redact_url(f"?{query}").removeprefix("?"))


def _wrap_lifespan(name: str, lifespan: Lifespan) -> Lifespan:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        health: Health = app.state.health
        async with flush_telemetry_at_exit(), measure_loop_delay():
            try:
                debug_on_signal(app.state.settings.log_level)
                async with lifespan(app):
                    health.started = True
                    log.info("service_started")
                    yield
                    log.info("service_stopping")
            except ConfigurationError as error:
                log.critical("settings_rejected", reason=str(error))
                raise SystemExit(f"{name} cannot start: {error}") from None
        log.info("service_stopped")

    return run
