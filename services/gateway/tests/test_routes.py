"""Collaborators of routes are dependencies: `dependency_overrides` replaces them in every version."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from services.gateway.tests.conftest import CALLER, Services
from starlette.datastructures import Headers

from gateway import dependencies
from gateway.clients import UpstreamRequest
from gateway.limits import credentials
from gateway.limits.quota import Hit, RateLimitStatus
from gateway.main import create_app
from gateway.responses import UpstreamResponse
from gateway.settings import Settings
from shared.auth import Identity, Role, current_identity
from testkit.apps import http_client, serve

ADMIN = Identity(user_id=UUID(CALLER), role=Role.ADMIN)


class FakeOrders:
    """Replaces the client of orders. The response is the method and the path of the request."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        body = f'"{request.method} {request.path}"'.encode()
        headers = Headers({"content-type": "application/json"})
        return UpstreamResponse(path=request.path, status=200, headers=headers, body=body)


class FakeAggregates:
    """Replaces the aggregates of several services."""

    async def get_dashboard(self, _headers: Mapping[str, str]) -> bytes:
        return b'{"user":null}'


class FullLimiter:
    """Rejects every request."""

    async def hit(self, hits: list[Hit]) -> RateLimitStatus:
        return RateLimitStatus(quota=hits[0].quota, remaining=0, reset_s=9, retry_after_s=9)


class EmptyFaultStore:
    """Replaces the store of fault switches."""

    async def all(self) -> list[object]:
        return []


@pytest.fixture
def app(services: Services, redis_url: str) -> FastAPI:
    settings: dict[str, Any] = {**services.urls, "redis_url": redis_url, "log_format": "json"}
    return create_app(Settings(**settings, environment="development"))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(app) as url, http_client(url) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "version"),
    [("/v2/products/mug", None), ("/products/mug", None), ("/v1/products/mug", None), ("/products/mug", "1")],
)
async def test_upstream_can_be_overridden(
    app: FastAPI, client: httpx.AsyncClient, services: Services, path: str, version: str | None
) -> None:
    app.dependency_overrides[dependencies.orders] = FakeOrders
    response = await client.get(path, headers={"API-Version": version} if version else {})
    assert response.json() == "GET /products/mug"
    assert services.orders.requests_for("GET", "/products/mug") == []


@pytest.mark.parametrize("path", ["/v2/orders", "/orders", "/v1/orders"])
async def test_caller_can_be_overridden(app: FastAPI, client: httpx.AsyncClient, path: str) -> None:
    app.dependency_overrides |= {dependencies.orders: FakeOrders, current_identity: lambda: ADMIN}
    assert (await client.post(path, json={})).json() == "POST /orders"


@pytest.mark.parametrize("prefix", ["/v2", ""])
async def test_aggregates_and_fault_store_can_be_overridden(
    app: FastAPI, client: httpx.AsyncClient, prefix: str
) -> None:
    app.dependency_overrides |= {
        current_identity: lambda: ADMIN,
        dependencies.aggregates: FakeAggregates,
        dependencies.fault_store: EmptyFaultStore,
    }
    assert (await client.get(f"{prefix}/dashboard")).json() == {"user": None}
    assert (await client.get(f"{prefix}/faults")).json() == {"items": []}


@pytest.mark.parametrize("path", ["/v2/tokens", "/tokens", "/v1/tokens"])
async def test_limiter_of_logins_can_be_overridden(app: FastAPI, client: httpx.AsyncClient, path: str) -> None:
    app.dependency_overrides[credentials.limiter] = FullLimiter
    response = await client.post(path, data={"username": "ann@hopline.example"})
    assert (response.status_code, response.headers["retry-after"]) == (429, "9")
