"""Hopline's gateway: `gunicorn -c python:shared.gunicorn gateway.main:create_app()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from gateway.dependencies import open_upstreams
from gateway.deprecation import Deprecated, retiring
from gateway.dispatch import VersionByHeader
from gateway.limits.limiter import open_limiter
from gateway.openapi import ASSETS, assets
from gateway.resilience.metrics import load_shown
from gateway.resilience.shedding import Load
from gateway.routes import composed, faults, front, v1, v2
from gateway.routes.pass_through import bodies_of, pass_through_router
from gateway.security import KnownHosts, SecurityHeaders
from gateway.service import Compositions
from gateway.settings import Settings
from gateway.versions import mount_version
from shared.app import build_app
from shared.faults import FaultStore, watched_faults
from shared.http import open_http_client
from shared.redis import open_redis
from shared.settings import load_settings
from shared.tokens import TokenVerifier, jwks_from


def create_app(settings: Settings | None = None) -> FastAPI:
    """The gateway; `settings` from the environment where not given."""
    settings = settings or load_settings(Settings)
    app = build_app(
        name="gateway",
        settings=settings,
        lifespan=lifespan,
        routers=[front.router],
        summary="The one public door",
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Deprecated, retirement=v1.RETIREMENT),
            *([Middleware(KnownHosts, hosts=settings.allowed_hosts)] if settings.allowed_hosts else []),
        ],
    )
    app.state.load = Load(at_once=app.state.settings.requests_at_once)
    first = mount_version(
        app,
        version="v1",
        routers=[pass_through_router(v1.CALLS, deprecated=True)],
        models=bodies_of(v1.CALLS),
    )
    current = mount_version(
        app,
        version="v2",
        routers=[composed.router, pass_through_router(v2.CALLS), *faults.routers(app.state.settings)],
        models=bodies_of(v2.CALLS),
    )
    app.router.default = VersionByHeader(versions={"1": retiring(first, v1.RETIREMENT), "2": current}, current="2")
    app.mount(ASSETS, assets())
    return app


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
        open_upstreams(settings, faults=switched) as upstreams,
    ):
        app.state.token_verifier = TokenVerifier(keys=jwks_from(http, str(settings.jwks_url)), settings=settings)
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
            app.state.health.add(upstream.name, upstream.ping, critical=False, details=upstream.guard.state)
        app.state.health.add("redis", redis.ping, critical=False)
        with load_shown(app.state.load):
            yield
