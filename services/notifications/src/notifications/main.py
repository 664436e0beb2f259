"""The composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from notifications import routes
from notifications.events import consumers
from notifications.realtime.runtime import open_realtime
from notifications.settings import Settings, get_settings
from shared.app import build_app
from shared.database import open_database
from shared.faults import watched_faults
from shared.housekeeping import CONSUMING, Housekeeping
from shared.housekeeping import routes as housekeeping
from shared.http import open_http_client
from shared.redis import check_writable, open_redis
from shared.tokens import TokenVerifier, jwks_from


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the notifications service; tests pass `settings`, otherwise they are read from the environment."""
    app = build_app(
        name="notifications",
        settings=settings or get_settings(),
        lifespan=lifespan,
        routers=[routes.router, housekeeping.router],
        summary="The notification feed of every user, over REST and WebSockets",
    )
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open stores, then what serves sockets, then what fills feeds; close in reverse, what fills feeds first."""
    settings: Settings = app.state.settings
    async with (
        open_redis(settings) as redis,
        watched_faults(settings, source="notifications", redis=redis) as faults,
        open_http_client(to="users", faults=faults) as http,
        jwks_from(http, str(settings.jwks_url)) as keys,
        open_database(settings, application="notifications", workers=settings.web_concurrency) as database,
        open_realtime(settings=settings, database=database, redis=redis) as realtime,
        consumers(publisher=realtime.publisher, sessions=database.sessions, redis=redis),
    ):
        app.state.database = database
        app.state.housekeeping = Housekeeping(database=database, chores=CONSUMING)
        app.state.realtime = realtime
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.health.add("database", database.ping)
        # not critical: without Redis feeds are served, and heartbeats bring sockets up to date
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        app.state.health.on_drain(realtime.drain)
        yield
