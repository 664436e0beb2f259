"""The notifications service: `gunicorn -c python:shared.server.gunicorn 'notifications.main:create_app()'`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from notifications import routes
from notifications.events import run_consumers
from notifications.realtime.runtime import open_realtime
from notifications.settings import Settings, get_settings
from shared.auth import TokenVerifier, create_jwks_cache
from shared.cleanup import CONSUMER_TASKS, CleanupService
from shared.cleanup import routes as cleanup_routes
from shared.db.database import open_database
from shared.db.redis import check_writable, open_redis
from shared.faults import watch_faults
from shared.http.client import open_http_client
from shared.web.app import build_app


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the notifications service. Without `settings` they are read from the environment."""
    app = build_app(
        name="notifications",
        settings=settings or get_settings(),
        lifespan=lifespan,
        routers=[routes.notifications_router, cleanup_routes.router],
        summary="The notification feed of every user, over REST and WebSockets",
    )
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the stores, the realtime components and the consumers. They close in reverse order."""
    settings: Settings = app.state.settings
    async with (
        open_redis(settings) as redis,
        watch_faults(settings, source="notifications", redis=redis) as faults,
        open_http_client(to="users", faults=faults, transport=settings.http_transport) as http,
        create_jwks_cache(http, str(settings.jwks_url)) as keys,
        open_database(settings, application="notifications", workers=settings.web_concurrency) as database,
        open_realtime(settings=settings, database=database, redis=redis) as realtime,
        run_consumers(publisher=realtime.publisher, sessions=database.sessions, redis=redis),
    ):
        app.state.database = database
        app.state.cleanup = CleanupService(database=database, tasks=CONSUMER_TASKS)
        app.state.realtime = realtime
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.health.add("database", database.ping)
        # not critical: without Redis, feeds are served and heartbeats send missing notifications
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        app.state.health.on_drain(realtime.drain)
        yield
