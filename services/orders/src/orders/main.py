"""Hopline's catalog and orders: `gunicorn -c python:shared.gunicorn orders.main:create_app()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from orders import routes
from orders.events import CONSUMERS, STREAM
from orders.service.housekeeping import BATCH, chores
from orders.settings import Settings, get_settings
from shared.app import build_app
from shared.database import open_database
from shared.events import Relay
from shared.faults import watched_faults
from shared.housekeeping import Housekeeping
from shared.housekeeping import routes as housekeeping
from shared.http import open_http_client
from shared.objects import open_object_store, ping
from shared.redis import check_writable, open_redis
from shared.settings import Environment
from shared.tokens import TokenVerifier, jwks_from


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the orders service; tests pass `settings`, otherwise they are read from the environment."""
    loaded = settings or get_settings()
    development = [routes.debug] if loaded.environment is Environment.DEVELOPMENT else []
    app = build_app(
        name="orders",
        settings=loaded,
        lifespan=lifespan,
        routers=[
            routes.products,
            routes.orders,
            routes.internal_orders,
            routes.sales,
            routes.reports,
            routes.internal_reports,
            housekeeping.router,
            housekeeping.publishing,
            *development,
        ],
        summary="The catalog with its stock, orders from placing to shipping, and reports on them",
    )
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what requests need. Redis may be away: events wait in the outbox, and the relay goes first at the end."""
    settings: Settings = app.state.settings
    async with (
        open_database(settings, application="orders", workers=settings.web_concurrency, dedicated=1) as database,
        open_redis(settings) as redis,
        watched_faults(settings, source="orders", redis=redis) as faults,
        open_http_client(to="users", faults=faults) as client,
        jwks_from(client, str(settings.jwks_url)) as keys,
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
        app.state.housekeeping = Housekeeping(
            database=database,
            chores=chores(settings=settings, objects=app.state.objects, redis=redis),
            batch=BATCH,
        )
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.health.add("database", database.ping)
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        app.state.health.add("objects", lambda: ping(app.state.objects), critical=False)
        yield
