"""The users service: `gunicorn -c python:shared.server.gunicorn 'users.main:create_app()'`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from shared.auth import TokenVerifier
from shared.cleanup import CleanupService
from shared.cleanup import routes as cleanup_routes
from shared.config import Environment
from shared.db.database import open_database
from shared.db.redis import check_writable, open_redis
from shared.messaging import Relay
from shared.web.app import build_app
from users import routes
from users.events import CONSUMERS, STREAM
from users.keys import KeyRing, load_private_keys
from users.passwords import open_password_hasher
from users.service import AccessTokenIssuer, TokenService, create_cleanup_tasks, seed_admin
from users.settings import Settings, get_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the users service. By default, the settings are read from the environment."""
    app = build_app(
        name="users",
        settings=settings or get_settings(),
        lifespan=lifespan,
        routers=[
            routes.users_router,
            routes.tokens_router,
            routes.revocation_router,
            routes.internal_users_router,
            routes.internal_tokens_router,
            cleanup_routes.router,
            cleanup_routes.publisher_router,
        ],
        summary="Accounts, OAuth2 tokens, and the keys that verify them",
    )
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the resources that requests use. If Redis is unavailable, the service starts and events wait in the outbox.

    The relay is opened last, so that it stops first.
    """
    settings: Settings = app.state.settings
    keys = KeyRing(keys=load_private_keys(settings.signing_key.get_secret_value()))
    async with (
        open_database(settings, application="users", workers=settings.web_concurrency, direct=1) as database,
        open_password_hasher(
            max_concurrent=settings.max_concurrent_passwords,
            max_waiting=settings.max_waiting_passwords,
            timeout_s=settings.password_timeout_seconds,
        ) as passwords,
        open_redis(settings) as redis,
        Relay(
            database_url=settings.database_url,
            sessions=database.sessions,
            redis=redis,
            stream=STREAM,
            trim_for=CONSUMERS,
        ),
    ):
        if settings.environment is Environment.DEVELOPMENT:
            await seed_admin(
                database=database, passwords=passwords, email=settings.admin_email, password=settings.admin_password
            )
        app.state.database = database
        app.state.passwords = passwords
        app.state.keys = keys
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        app.state.tokens = TokenService(
            database=database, passwords=passwords, access_tokens=AccessTokenIssuer(keys=keys, settings=settings)
        )
        app.state.cleanup = CleanupService(
            database=database, tasks=create_cleanup_tasks(settings=settings, redis=redis)
        )
        app.state.health.add("database", database.ping)
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        yield
