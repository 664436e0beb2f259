"""Who gets built for a request, and what is opened for all of them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request
from pydantic import AnyHttpUrl

from gateway.clients import Endpoint, Upstream
from gateway.headers import from_client
from gateway.resilience.guard import Guard
from gateway.resilience.metrics import guard_shown
from gateway.service import Compositions
from gateway.settings import Settings, get_settings
from shared.faults import Faults, FaultStore
from shared.http import open_http_transport
from shared.tokens import CurrentIdentity

Service = Literal["users", "orders", "notifications"]

EXPENSIVE: Mapping[Service, tuple[Endpoint, ...]] = {
    "users": (("POST", "/tokens"), ("POST", "/users")),  # wait for one of a few threads that hash passwords
    "orders": (("POST", "/orders"), ("POST", "/orders/{order_id}/cancel")),  # wait for the locks of products
    "notifications": (),
}
"""Endpoints that wait for something scarce: each has a bulkhead, a circuit and a retry budget of its own (ADR 28)."""


@dataclass(frozen=True, kw_only=True)
class Upstreams:
    """The services behind the gateway, each with connections of its own: one that hangs holds up its own callers."""

    users: Upstream
    orders: Upstream
    notifications: Upstream


@asynccontextmanager
async def open_upstreams(settings: Settings, *, faults: Faults) -> AsyncIterator[Upstreams]:
    """Connections are made at first use: the gateway starts, and serves what it can, without any of them."""
    async with (
        _open_upstream("users", settings.users_url, settings, faults) as users,
        _open_upstream("orders", settings.orders_url, settings, faults) as orders,
        _open_upstream("notifications", settings.notifications_url, settings, faults) as notifications,
    ):
        yield Upstreams(users=users, orders=orders, notifications=notifications)


@asynccontextmanager
async def _open_upstream(name: Service, url: AnyHttpUrl, settings: Settings, faults: Faults) -> AsyncIterator[Upstream]:
    guard = Guard(name=name, settings=settings)
    endpoint_guards = {
        (method, template): Guard(name=f"{name} {method} {template}", settings=settings)
        for method, template in EXPENSIVE[name]
    }
    # The bulkheads are the limit: hedges and probes must get through.
    max_connections = (2 + len(endpoint_guards)) * settings.upstream_calls_at_once + settings.upstream_files_at_once
    with ExitStack() as stack:
        for each in (guard, *endpoint_guards.values()):
            stack.enter_context(guard_shown(each))
        async with open_http_transport(to=name, faults=faults, max_connections=max_connections) as transport:
            yield Upstream(
                name=name,
                url=str(url),
                transport=transport,
                timeout_s=settings.upstream_seconds,
                guard=guard,
                endpoint_guards=endpoint_guards,
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


async def aggregates(request: Request) -> Compositions:
    """Return the aggregates over all services."""
    compositions: Compositions = request.app.state.compositions
    return compositions


async def caller_headers(request: Request, _caller: CurrentIdentity) -> dict[str, str]:
    """Return the headers that services may see of a caller with a valid access token."""
    return from_client(request.scope)


async def fault_store(request: Request) -> FaultStore:
    """Return the fault switches."""
    store: FaultStore = request.app.state.fault_store
    return store


SettingsDep = Annotated[Settings, Depends(get_settings)]
UsersDep = Annotated[Upstream, Depends(users)]
OrdersDep = Annotated[Upstream, Depends(orders)]
NotificationsDep = Annotated[Upstream, Depends(notifications)]
AggregatesDep = Annotated[Compositions, Depends(aggregates)]
CallerHeaders = Annotated[dict[str, str], Depends(caller_headers)]
FaultStoreDep = Annotated[FaultStore, Depends(fault_store)]
