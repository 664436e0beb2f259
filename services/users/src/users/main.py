"""Hopline's accounts and tokens: `gunicorn -c python:shared.gunicorn users.main:create_app()`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from shared.app import build_app
from shared.database import open_database
from shared.events import Relay
from shared.housekeeping import Housekeeping
from shared.housekeeping import routes as housekeeping
from shared.redis import check_writable, open_redis
from shared.settings import Environment
from shared.tokens import TokenVerifier
from users.events import CONSUMERS, STREAM
from users.keys import KeyRing, private_keys
from users.passwords import open_passwords
from users.routes import internal, internal_tokens, router, tokens
from users.service import AccessTokens, Tokens, chores, seed_admin
from users.settings import Settings, get_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the users service; tests pass `settings`, otherwise they are read from the environment."""
    app = build_app(
        name="users",
        settings=settings or get_settings(),
        lifespan=lifespan,
        routers=[router, tokens, internal, internal_tokens, housekeeping.router, housekeeping.publishing],
        summary="Accounts, OAuth2 tokens, and the keys that verify them",
    )
    if settings is not None:
        app.dependency_overrides[get_settings] = lambda: settings
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what requests need. Redis may be away: events wait in the outbox, and the relay goes first at the end."""
    settings: Settings = app.state.settings
    keys = KeyRing(keys=private_keys(settings.signing_key.get_secret_value()))
    async with (
        open_database(settings, application="users", workers=settings.web_concurrency, dedicated=1) as database,
        open_passwords(
            at_once=settings.passwords_at_once,
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
        app.state.tokens = Tokens(
            database=database, passwords=passwords, access_tokens=AccessTokens(keys=keys, settings=settings)
        )
        app.state.housekeeping = Housekeeping(database=database, chores=chores(settings=settings, redis=redis))
        app.state.health.add("database", database.ping)
        app.state.health.add("redis", partial(check_writable, redis), critical=False)
        yield
