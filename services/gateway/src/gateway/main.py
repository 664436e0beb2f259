"""Hopline's gateway: `gunicorn -c python:shared.gunicorn gateway.main:create_app()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from gateway.answers import Refused
from gateway.cors import cors
from gateway.dependencies import open_upstreams
from gateway.deprecation import Deprecated, retiring
from gateway.limits.limiter import open_limiter
from gateway.limits.middleware import RateLimits
from gateway.limits.rules import rules
from gateway.patience import Patience
from gateway.resilience.metrics import load_shown
from gateway.resilience.shedding import Load, LoadShedding
from gateway.routes import aggregates, faults, front, v1, v2
from gateway.routes.documentation import ASSETS, documentation
from gateway.security import KnownHosts, SecurityHeaders
from gateway.service import Compositions
from gateway.settings import Settings, get_settings
from gateway.uploads import ReceiveBody
from gateway.versions import VersionByHeader, on_refused
from shared.app import MIDDLEWARE, NO_TELEMETRY_OF_FASTAPI, build_app
from shared.client_address import AddressLimit
from shared.faults import FaultStore, watched_faults
from shared.http import open_http_client
from shared.profiling import ProfileOnDemand
from shared.redis import check_writable, open_redis
from shared.settings import Environment
from shared.tokens import TokenVerifier, jwks_from


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the gateway; tests pass `settings`, otherwise they are read from the environment."""
    given, settings = settings, settings or get_settings()
    load = Load(at_once=settings.requests_at_once)
    version_one = FastAPI(version="v1", openapi_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY_OF_FASTAPI)
    app = build_app(
        name="gateway",
        settings=settings,
        lifespan=lifespan,
        routers=[],
        summary="The one public door",
        middleware=middleware(settings, load=load, version_one=version_one),
        public=True,
    )
    app.version = "v2"
    app.state.load = load
    app.add_exception_handler(Refused, on_refused)
    for prefix in ("/v2", ""):
        for router in (aggregates.router, v2.router, *faults.routers(settings)):
            app.include_router(router, prefix=prefix, include_in_schema=False)  # `documentation` has the document
    for page in (front.router, documentation("v1"), documentation("v2")):
        app.include_router(page)
    if given is not None:
        app.dependency_overrides[get_settings] = lambda: given
    version_one.state = app.state
    version_one.exception_handlers = app.exception_handlers
    version_one.dependency_overrides = app.dependency_overrides
    version_one.include_router(v1.router)
    app.mount("/v1", version_one)
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))
    return app


def middleware(settings: Settings, *, load: Load, version_one: FastAPI) -> list[Middleware]:
    """The gateway's middleware, outermost first."""
    uploads = AddressLimit(
        total=settings.max_concurrent_uploads, per_address=settings.max_concurrent_uploads_per_address
    )
    return [
        Middleware(SecurityHeaders),
        Middleware(Deprecated, retirement=v1.RETIREMENT),
        *([Middleware(KnownHosts, hosts=settings.allowed_hosts)] if settings.allowed_hosts else []),
        *([Middleware(ProfileOnDemand)] if settings.environment is not Environment.PRODUCTION else []),
        *([cors(settings.cors_origins)] if settings.cors_origins else []),
        *MIDDLEWARE,
        Middleware(ReceiveBody, uploads=uploads, deadline_s=settings.request_seconds),
        Middleware(LoadShedding, load=load),
        Middleware(RateLimits, rules=rules(settings), deadline_s=settings.request_seconds),
        Middleware(Patience, deadline_s=settings.request_seconds),
        Middleware(VersionByHeader, older={"1": retiring(version_one, v1.RETIREMENT)}, current="2"),
    ]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what requests need.

    Nothing of it is critical: with one service away the gateway still answers for the others, and taking every
    gateway out of rotation would make one part's outage everybody's.
    """
    settings: Settings = app.state.settings
    async with (
        open_redis(settings) as redis,
        open_limiter(settings) as limiter,
        watched_faults(settings, source="gateway", redis=redis) as switched,
        open_http_client(to="users", faults=switched) as http,
        jwks_from(http, str(settings.jwks_url)) as keys,
        open_upstreams(settings, faults=switched) as upstreams,
    ):
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.limiter = limiter
        app.state.upstreams = upstreams
        app.state.fault_store = FaultStore(redis=redis)
        app.state.compositions = Compositions(
            users=upstreams.users,
            orders=upstreams.orders,
            notifications=upstreams.notifications,
            dashboard_timeout_s=settings.dashboard_seconds,
            lookups_at_once=settings.lookups_at_once,
        )
        for upstream in (upstreams.users, upstreams.orders, upstreams.notifications):
            app.state.health.add(upstream.name, upstream.ping, critical=False, details=upstream.state)
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        with load_shown(app.state.load):
            yield
