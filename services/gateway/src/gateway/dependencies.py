"""Dependencies of routes, and the clients of the services."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request
from pydantic import AnyHttpUrl

from gateway.clients import Endpoint, Upstream
from gateway.forward import get_forwarded_headers
from gateway.resilience.gauges import observe_pipeline
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.service import AggregateService
from gateway.settings import Settings, get_settings
from shared.auth import CurrentIdentity
from shared.faults import ActiveFaults, FaultStore
from shared.http.client import open_http_transport

Service = Literal["users", "orders", "notifications"]

EXPENSIVE_ENDPOINTS: Mapping[Service, tuple[Endpoint, ...]] = {
    "users": (("POST", "/tokens"), ("POST", "/users")),  # wait for one of a few threads that hash passwords
    "orders": (("POST", "/orders"), ("POST", "/orders/{order_id}/cancel")),  # wait for the locks of products
    "notifications": (),
}
"""Endpoints that wait for a scarce resource. Each has a separate pipeline: bulkhead, circuit, retry budget (ADR 28)."""


@dataclass(frozen=True, kw_only=True)
class Upstreams:
    """The clients of the services. Each has separate connections, so that a hanging service delays no other service."""

    users: Upstream
    orders: Upstream
    notifications: Upstream


@asynccontextmanager
async def open_upstreams(settings: Settings, *, faults: ActiveFaults) -> AsyncIterator[Upstreams]:
    """Open the clients. They connect at the first call, so that the gateway starts and serves without the services."""
    async with (
        _open_upstream("users", settings.users_url, settings, faults) as users,
        _open_upstream("orders", settings.orders_url, settings, faults) as orders,
        _open_upstream("notifications", settings.notifications_url, settings, faults) as notifications,
    ):
        yield Upstreams(users=users, orders=orders, notifications=notifications)


@asynccontextmanager
async def _open_upstream(
    name: Service, url: AnyHttpUrl, settings: Settings, faults: ActiveFaults
) -> AsyncIterator[Upstream]:
    pipeline = ResiliencePipeline(name=name, settings=settings)
    endpoint_pipelines = {
        (method, template): ResiliencePipeline(name=f"{name} {method} {template}", settings=settings)
        for method, template in EXPENSIVE_ENDPOINTS[name]
    }
    # More connections than the bulkheads allow calls, so that hedged attempts and health probes get connections too.
    max_connections = (2 + len(endpoint_pipelines)) * settings.max_concurrent_calls + settings.max_concurrent_downloads
    with ExitStack() as stack:
        for observed in (pipeline, *endpoint_pipelines.values()):
            stack.enter_context(observe_pipeline(observed))
        async with open_http_transport(
            settings.http_transport, to=name, faults=faults, max_connections=max_connections
        ) as transport:
            yield Upstream(
                name=name,
                url=str(url),
                transport=transport,
                timeout_s=settings.upstream_seconds,
                pipeline=pipeline,
                endpoint_pipelines=endpoint_pipelines,
            )


async def users(request: Request) -> Upstream:
    """Return the client of the users service."""
    upstreams: Upstreams = request.app.state.upstreams
    return upstreams.users


async def orders(request: Request) -> Upstream:
    """Return the client of the orders service."""
    upstreams: Upstreams = request.app.state.upstreams
    return upstreams.orders


async def notifications(request: Request) -> Upstream:
    """Return the client of the notifications service."""
    upstreams: Upstreams = request.app.state.upstreams
    return upstreams.notifications


async def aggregates(request: Request) -> AggregateService:
    """Return the aggregates over all services."""
    aggregates: AggregateService = request.app.state.aggregates
    return aggregates


async def caller_headers(request: Request, _caller: CurrentIdentity) -> dict[str, str]:
    """Return the headers to forward. The request must have a valid access token."""
    return get_forwarded_headers(request.scope)


async def fault_store(request: Request) -> FaultStore:
    """Return the fault switches."""
    store: FaultStore = request.app.state.fault_store
    return store


SettingsDep = Annotated[Settings, Depends(get_settings)]
UsersDep = Annotated[Upstream, Depends(users)]
OrdersDep = Annotated[Upstream, Depends(orders)]
NotificationsDep = Annotated[Upstream, Depends(notifications)]
AggregatesDep = Annotated[AggregateService, Depends(aggregates)]
CallerHeaders = Annotated[dict[str, str], Depends(caller_headers)]
FaultStoreDep = Annotated[FaultStore, Depends(fault_store)]
