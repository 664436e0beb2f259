"""Hopline's gateway: `gunicorn -c python:shared.server.gunicorn 'gateway.main:create_app()'`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware import Middleware

from gateway.browser import development
from gateway.browser import routes as browser
from gateway.browser.page import AssetFiles, create_page_router
from gateway.client_connection import ClientConnectionMiddleware
from gateway.cors import create_cors_middleware
from gateway.dependencies import open_upstreams
from gateway.deprecation import DeprecationMiddleware, add_deprecation_headers
from gateway.limits.limiter import open_limiter
from gateway.limits.middleware import RateLimitMiddleware
from gateway.limits.rules import create_rules
from gateway.resilience.gauges import observe_load
from gateway.resilience.shedding import Load, LoadSheddingMiddleware
from gateway.responses import UpstreamResponseError
from gateway.routes import aggregates, faults, v1, v2
from gateway.routes.documentation import ASSETS, create_documentation_router
from gateway.security import AllowedHostsMiddleware, SecurityHeadersMiddleware
from gateway.server_timing import ServerTimingMiddleware
from gateway.service import AggregateService
from gateway.settings import Settings, get_settings
from gateway.versions import ApiVersionMiddleware, render_upstream_error
from shared.auth import TokenVerifier, create_jwks_cache
from shared.db.redis import check_writable, open_redis
from shared.faults import FaultStore, watch_faults
from shared.http.client import open_http_client
from shared.web.app import NO_TELEMETRY_OF_FASTAPI, Edge, build_app
from shared.web.client_address import AddressLimit
from shared.web.error_handlers import mount_with_error_handlers


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the gateway. Tests pass `settings`; otherwise they are read from the environment."""
    loaded = settings or get_settings()
    load = Load(max_concurrent=loaded.max_concurrent_requests)
    version_one = FastAPI(version="v1", openapi_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY_OF_FASTAPI)
    version_one.include_router(v1.router)
    app = build_app(
        name="gateway",
        settings=loaded,
        lifespan=lifespan,
        routers=[],  # included below, with the prefixes of the versions and in the order in which they match
        summary="The public API",
        edge=build_edge(loaded, load=load, version_one=version_one),
    )
    app.version = "v2"
    app.state.load = load
    app.add_exception_handler(UpstreamResponseError, render_upstream_error)
    for prefix in ("/v2", ""):
        for router in (aggregates.router, v2.router, *faults.get_routers(loaded)):
            # the OpenAPI document is a committed file, served by `create_documentation_router()`
            app.include_router(router, prefix=prefix, include_in_schema=False)
    pages = (create_page_router(loaded), create_documentation_router("v1"), create_documentation_router("v2"))
    for included in (browser.router, browser.session_router, *development.get_routers(loaded), *pages):
        app.include_router(included)
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    mount_with_error_handlers(app, "/v1", version_one)
    app.mount(ASSETS, AssetFiles())
    return app


def build_edge(settings: Settings, *, load: Load, version_one: FastAPI) -> Edge:
    """Return the middleware and the time limit of the gateway."""
    uploads = AddressLimit(
        total=settings.max_concurrent_uploads, per_address=settings.max_concurrent_uploads_per_address
    )
    hosts = [Middleware(AllowedHostsMiddleware, hosts=settings.allowed_hosts)] if settings.allowed_hosts else []
    cors = [create_cors_middleware(settings.cors_origins)] if settings.cors_origins else []
    older = {"1": add_deprecation_headers(version_one, v1.DEPRECATION)}
    return Edge(
        outer=[
            Middleware(SecurityHeadersMiddleware),
            Middleware(DeprecationMiddleware, version=v1.DEPRECATION),
            *hosts,
            *cors,
            Middleware(ServerTimingMiddleware),
        ],
        inner=[
            Middleware(ClientConnectionMiddleware, uploads=uploads),
            Middleware(LoadSheddingMiddleware, load=load),
            Middleware(RateLimitMiddleware, rules=create_rules(settings)),
            Middleware(ApiVersionMiddleware, older=older, current="2"),
        ],
        timeout_s=settings.request_seconds,
        grace_s=0,
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the clients and connections that requests use.

    No dependency is critical, because without one service the gateway still serves the others. If one unavailable
    service made the gateway not ready, the load balancer would remove all gateways at the same time.
    """
    settings: Settings = app.state.settings
    async with (
        open_redis(settings) as redis,
        open_limiter(settings) as limiter,
        watch_faults(settings, source="gateway", redis=redis) as active_faults,
        open_http_client(to="users", faults=active_faults, transport=settings.http_transport) as http,
        create_jwks_cache(http, str(settings.jwks_url)) as keys,
        open_upstreams(settings, faults=active_faults) as upstreams,
        development.open_clients(app, settings),
    ):
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.limiter = limiter
        app.state.upstreams = upstreams
        app.state.fault_store = FaultStore(redis=redis)
        app.state.aggregates = AggregateService(
            users=upstreams.users,
            orders=upstreams.orders,
            notifications=upstreams.notifications,
            dashboard_timeout_s=settings.dashboard_seconds,
            max_concurrent_lookups=settings.max_concurrent_lookups,
        )
        for upstream in (upstreams.users, upstreams.orders, upstreams.notifications):
            app.state.health.add(upstream.name, upstream.ping, critical=False, details=upstream.state)
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        with observe_load(app.state.load):
            yield
