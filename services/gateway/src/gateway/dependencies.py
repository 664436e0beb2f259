"""Who gets built for a request, and what is opened for all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from fastapi import Depends, Request
from pydantic import AnyHttpUrl

from gateway.clients import CONNECT_TIMEOUT_S, Upstream
from gateway.headers import from_client
from gateway.resilience.guard import Guard
from gateway.resilience.metrics import guard_shown
from gateway.service import Compositions
from gateway.settings import Settings, get_settings
from shared.faults import Faults, FaultStore
from shared.http import open_http_client
from shared.tokens import CurrentCaller, Identity

Service = Literal["users", "orders", "notifications"]


@dataclass(frozen=True, kw_only=True)
class Upstreams:
    """The services behind the gateway, each with connections of its own: one that hangs holds up its own callers."""

    users: Upstream
    orders: Upstream
    notifications: Upstream

    def of(self, service: Service) -> Upstream:
        """The one of this name."""
        upstream: Upstream = getattr(self, service)
        return upstream


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
    # The bulkheads are the limit: hedges and probes must get through.
    max_connections = 2 * settings.upstream_calls_at_once + settings.upstream_files_at_once
    with guard_shown(guard):
        async with open_http_client(
            url,
            to=name,
            faults=faults,
            timeout_s=settings.upstream_seconds,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            max_connections=max_connections,
        ) as client:
            yield Upstream(name=name, client=client, timeout_s=settings.upstream_seconds, guard=guard)


def upstreams(request: Request) -> Upstreams:
    """The process's upstreams. No dependency: routes made from a table have the request at hand."""
    opened: Upstreams = request.app.state.upstreams
    return opened


class Asked(NamedTuple):
    """Who asks a composed question, what answers it, and the caller's headers as the services may see them."""

    caller: Identity
    compositions: Compositions
    headers: dict[str, str]


class AskedByCaller(CurrentCaller):
    """The dependency that gives all three: FastAPI takes some 8 µs for each, where it is asked (`routes.direct`)."""

    async def __call__(self, request: Request) -> Asked:  # type: ignore[override]  # more than who it is
        """The caller's question; raises what `CurrentCaller` raises."""
        caller = await super().__call__(request)
        return Asked(caller, request.app.state.compositions, from_client(request.scope))


async def fault_store(request: Request) -> FaultStore:
    """The fault switches."""
    store: FaultStore = request.app.state.fault_store
    return store


SettingsDep = Annotated[Settings, Depends(get_settings)]
AskedDep = Annotated[Asked, Depends(AskedByCaller())]
FaultStoreDep = Annotated[FaultStore, Depends(fault_store)]
