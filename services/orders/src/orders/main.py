"""The orders service: `gunicorn -c python:shared.server.gunicorn 'orders.main:create_app()'`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from orders import routes
from orders.events import CONSUMERS, STREAM
from orders.service.cleanup import BATCH, create_cleanup_tasks
from orders.settings import Settings, get_settings
from shared.auth import TokenVerifier, create_jwks_cache
from shared.cleanup import CleanupService
from shared.cleanup import routes as cleanup_routes
from shared.config import Environment
from shared.db.database import open_database
from shared.db.object_store import open_object_store, ping
from shared.db.redis import check_writable, open_redis
from shared.faults import watch_faults
from shared.http.client import open_http_client
from shared.messaging import Relay
from shared.web.app import build_app


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the orders service. Without `settings` they are read from the environment."""
    loaded = settings or get_settings()
    development = [routes.debug_router] if loaded.environment is Environment.DEVELOPMENT else []
    app = build_app(
        name="orders",
        settings=loaded,
        lifespan=lifespan,
        routers=[
            routes.products_router,
            routes.orders_router,
            routes.internal_orders_router,
            routes.internal_sales_router,
            routes.reports_router,
            routes.internal_reports_router,
            cleanup_routes.router,
            cleanup_routes.publisher_router,
            *development,
        ],
        summary="The catalog with its stock, orders from placing to shipping, and reports on them",
    )
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the stores and clients, and run the relay. While Redis is unavailable, events wait in the outbox.

    The relay is opened last, so that it stops first.
    """
    settings: Settings = app.state.settings
    async with (
        open_database(settings, application="orders", workers=settings.web_concurrency, direct=1) as database,
        open_redis(settings) as redis,
        watch_faults(settings, source="orders", redis=redis) as faults,
        open_http_client(to="users", faults=faults, transport=settings.http_transport) as client,
        create_jwks_cache(client, str(settings.jwks_url)) as keys,
        Relay(
            database_url=settings.database_url,
            sessions=database.sessions,
            redis=redis,
            stream=STREAM,
            trim_for=CONSUMERS,
        ),
    ):
        app.state.database = database
        app.state.objects = open_object_store(settings)
        app.state.cleanup = CleanupService(
            database=database,
            tasks=create_cleanup_tasks(settings=settings, objects=app.state.objects, redis=redis),
            batch=BATCH,
        )
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.health.add("database", database.ping)
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        app.state.health.add("objects", lambda: ping(app.state.objects), critical=False)
        yield
