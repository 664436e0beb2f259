"""The gateway on a real server. Its upstreams are fakes, also on real servers."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pytest
from services.gateway.tests.fakes import FakeService
from starlette.middleware import Middleware

from gateway.main import create_app
from gateway.settings import Settings
from testkit.apps import http_client, serve, serve_all
from testkit.tokens import TokenIssuer

CALLER = "0198b7f0-0000-7000-8000-000000000001"


@dataclass(frozen=True, kw_only=True)
class Services:
    users: FakeService
    orders: FakeService
    notifications: FakeService
    urls: dict[str, str]


class OpenGateway(Protocol):
    def __call__(self, *outer: Middleware, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
async def services(token_issuer: TokenIssuer) -> AsyncIterator[Services]:
    users, orders, notifications = fakes = [FakeService(name=name) for name in ("users", "orders", "notifications")]
    users.respond("GET", "/.well-known/jwks.json", token_issuer.jwks)
    async with serve_all(fakes) as addresses:
        urls = {f"{fake.name}_url": address for fake, address in zip(fakes, addresses, strict=True)}
        yield Services(users=users, orders=orders, notifications=notifications, urls=urls)


@pytest.fixture
def open_gateway(services: Services, redis_url: str, capsys: pytest.CaptureFixture[str]) -> OpenGateway:
    """Open a gateway with the given settings, and a client for it. Its logs are captured by `capsys`.

    `outer` is middleware that is added around that of the gateway.
    """

    @asynccontextmanager
    async def open_one(*outer: Middleware, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        given: dict[str, Any] = {
            **services.urls,
            "jwks_url": f"{services.urls['users_url']}/.well-known/jwks.json",
            "redis_url": redis_url,
            "environment": "test",
            "log_format": "json",
            "dashboard_seconds": 20,  # long enough for a busy machine
            "upstream_seconds": 20,
            "request_seconds": 30,
            "rate_limit_timeout_seconds": 10,
        }
        app = create_app(Settings(**given | settings))
        for each in outer:
            app.add_middleware(each.cls, *each.args, **each.kwargs)
        async with serve(app) as url, http_client(url) as client:
            yield client

    return open_one


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with open_gateway() as client:
        yield client


@pytest.fixture
def token(token_issuer: TokenIssuer) -> dict[str, str]:
    """The Authorization header of a customer."""
    return token_issuer.headers(CALLER)


@pytest.fixture
def admin(token_issuer: TokenIssuer) -> dict[str, str]:
    """The Authorization header of an admin."""
    return token_issuer.headers(CALLER, role="admin")
