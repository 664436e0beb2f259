"""The gateway on a real server, in front of stand-ins on real servers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pytest
from services.gateway.tests.standins import StandIn

from gateway.main import create_app
from gateway.settings import Settings
from testkit.apps import http_client, serve
from testkit.tokens import TokenIssuer

CALLER = "0198b7f0-0000-7000-8000-000000000001"


@dataclass(frozen=True, kw_only=True)
class Services:
    users: StandIn
    orders: StandIn
    notifications: StandIn
    urls: dict[str, str]


class OpenGateway(Protocol):
    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
async def services(token_issuer: TokenIssuer) -> AsyncIterator[Services]:
    users, orders, notifications = stand_ins = [StandIn(name=name) for name in ("users", "orders", "notifications")]
    users.answers("GET", "/.well-known/jwks.json", token_issuer.jwks)
    async with serve_all(stand_ins) as addresses:
        urls = {f"{one.name}_url": address for one, address in zip(stand_ins, addresses, strict=True)}
        yield Services(users=users, orders=orders, notifications=notifications, urls=urls)


@asynccontextmanager
async def serve_all(stand_ins: Sequence[StandIn]) -> AsyncIterator[list[str]]:
    """Serve each; end them together, as a server takes a tenth of a second to end."""
    servers = [serve(one) for one in stand_ins]
    try:
        yield [await server.__aenter__() for server in servers]
    finally:
        await asyncio.gather(*(server.__aexit__(None, None, None) for server in servers))


@pytest.fixture
def open_gateway(services: Services, redis_url: str, capsys: pytest.CaptureFixture[str]) -> OpenGateway:
    """Opens a gateway with the given settings and a client for it; its log goes to capsys, asked for before it."""

    @asynccontextmanager
    async def open_one(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        given: dict[str, Any] = {
            **services.urls,
            "jwks_url": f"{services.urls['users_url']}/.well-known/jwks.json",
            "redis_url": redis_url,
            "environment": "test",
            "log_format": "json",
            "dashboard_seconds": 20,  # so that a busy machine is not taken for a slow service
            "upstream_seconds": 20,
            "request_seconds": 30,
            "rate_limit_patience_seconds": 10,
        }
        async with serve(create_app(Settings(**given | settings))) as url, http_client(url) as client:
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
