"""The gateway on a real server. The services that it calls are fakes, also on real servers."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pytest
from services.gateway.tests.fakes import JWKS_PATH, FakeService, serve_fake
from starlette.middleware import Middleware

from gateway.main import create_app
from gateway.settings import Settings
from testkit.apps import http_client, serve, serve_all
from testkit.tokens import TokenIssuer

CALLER = "0198b7f0-0000-7000-8000-000000000001"
OTHER_USER = "0198b7f0-0000-7000-8000-000000000002"


@dataclass(frozen=True, kw_only=True)
class Services:
    """The fakes of the services that the gateway calls."""

    users: FakeService
    orders: FakeService
    notifications: FakeService

    @property
    def fakes(self) -> tuple[FakeService, FakeService, FakeService]:
        return self.users, self.orders, self.notifications

    @property
    def urls(self) -> dict[str, str]:
        """The URLs of the fakes, by the names of the gateway's settings."""
        return {**{f"{fake.name}_url": fake.url for fake in self.fakes}, "jwks_url": f"{self.users.url}{JWKS_PATH}"}


class OpenGateway(Protocol):
    """Type of the fixture `open_gateway`."""

    def __call__(self, *outer: Middleware, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
async def services(token_issuer: TokenIssuer) -> AsyncIterator[Services]:
    fakes = [FakeService(name=name) for name in ("users", "orders", "notifications")]
    async with serve_all(fakes) as urls:
        for fake, url in zip(fakes, urls, strict=True):
            fake.url = url
        users, orders, notifications = fakes
        users.respond("GET", JWKS_PATH, token_issuer.jwks)
        yield Services(users=users, orders=orders, notifications=notifications)


@pytest.fixture
def open_gateway(services: Services, redis_url: str, capsys: pytest.CaptureFixture[str]) -> OpenGateway:
    """Return a function that opens a gateway with the given settings, and a client for it.

    `outer` is middleware that is added around that of the gateway. `capsys` captures the logs.
    """
    defaults: dict[str, Any] = {
        **services.urls,
        "redis_url": redis_url,
        "environment": "test",
        "log_format": "json",
        # timeouts that a busy machine does not exceed
        "dashboard_seconds": 20,
        "upstream_seconds": 20,
        "request_seconds": 30,
        "rate_limit_timeout_seconds": 10,
    }

    @asynccontextmanager
    async def open_one(*outer: Middleware, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(Settings(**defaults | settings))
        for middleware in outer:
            app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
        async with serve(app) as url, http_client(url) as client:
            yield client

    return open_one


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client for a gateway with the default settings of `open_gateway`."""
    async with open_gateway() as client:
        yield client


@pytest.fixture
def customer_headers(token_issuer: TokenIssuer) -> dict[str, str]:
    """Return the Authorization header of a customer."""
    return token_issuer.headers(CALLER)


@pytest.fixture
def admin_headers(token_issuer: TokenIssuer) -> dict[str, str]:
    """Return the Authorization header of an admin."""
    return token_issuer.headers(CALLER, role="admin")


@pytest.fixture
async def otlp_receiver() -> AsyncIterator[FakeService]:
    """Return a fake OTLP receiver, which accepts everything."""
    async with serve_fake("collector") as receiver:
        for signal in ("traces", "metrics"):
            receiver.respond("POST", f"/v1/{signal}", {})
        yield receiver


@pytest.fixture
async def exporting_gateway(open_gateway: OpenGateway, otlp_receiver: FakeService) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client for a gateway in development, which sends the telemetry of pages to `otlp_receiver`."""
    async with open_gateway(environment="development", otel_exporter_otlp_endpoint=otlp_receiver.url) as client:
        yield client
