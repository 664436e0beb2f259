"""Events, notifications, and a cluster of instances that share their stores."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from notifications.events import StockLevel
from notifications.main import create_app
from notifications.models import Notification, NotificationKind
from notifications.realtime.cache import FeedCache
from notifications.realtime.frames import NotificationFrame
from notifications.realtime.publisher import Publisher
from notifications.repository import FeedRepository
from notifications.service import FeedService
from notifications.settings import Settings
from shared.db.redis import create_redis
from shared.db.urls import async_url
from shared.messaging import CloudEvent, TraceContext
from shared.server.worker import DrainingWorker
from testkit.apps import free_port, http_client, serve
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

WEBSOCKET_OPTIONS = {name: value for name, value in DrainingWorker.CONFIG_KWARGS.items() if name.startswith("ws")}
"""uvicorn's WebSocket options, as in production."""

PING_S = 0.5
"""Heartbeat interval of the sockets, in seconds. Short, because tests wait for heartbeats."""


def order_event(
    change: str,
    user_id: UUID,
    *,
    order_id: UUID | None = None,
    stock: Sequence[StockLevel] = (),
    **members: Any,
) -> CloudEvent:
    """Return an event of an order. `change` is placed, packed, shipped or cancelled.

    `members` are further members of the CloudEvent, such as `traceparent`.
    """
    data = {
        "order_id": order_id or uuid4(),
        "user_id": user_id,
        "status": change,
        "items": [{"sku": "mug", "name": "Mug", "quantity": 1, "unit_price_cents": 1200}],
        "total_cents": 1200,
        "currency": "EUR",
        "created_at": datetime.now(UTC),
    }
    if stock:
        data["stock"] = [level.model_dump() for level in stock]
    return CloudEvent(
        source="/hopline/orders",
        type=f"hopline.order.{change}.v1",
        subject=str(data["order_id"]),
        data=data,
        **members,
    )


def stock_level(sku: str, *, available: int, version: int) -> StockLevel:
    return StockLevel(sku=sku, available=available, version=version)


def report_event(change: str, user_id: UUID, *, report_id: UUID, **data: Any) -> CloudEvent:
    """Return an event of a report. `change` is requested, progress, ready or failed."""
    return CloudEvent(
        source="/hopline/orders",
        type=f"hopline.report.{change}.v1",
        subject=str(report_id),
        data={"report_id": report_id, "user_id": user_id, **data},
    )


def registration_event(user_id: UUID) -> CloudEvent:
    return CloudEvent(
        source="/hopline/users",
        type="hopline.user.registered.v1",
        subject=str(user_id),
        data={"user_id": user_id},
    )


async def add_notification(
    session: AsyncSession,
    user_id: UUID,
    *,
    event_id: UUID | None = None,
    subject: str = "test",
    data: dict[str, Any] | None = None,
) -> Notification | None:
    """Append an announcement to the user's feed, without a commit. None if the event has a notification already."""
    return await FeedService(repository=FeedRepository(session=session)).add_notification(
        user_id=user_id,
        event_id=event_id or uuid4(),
        kind=NotificationKind.ANNOUNCEMENT,
        subject=subject,
        data=data or {},
        at=datetime.now(UTC),
        trace=TraceContext(),
    )


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A running instance of the service. `app` is empty if the instance runs in another process."""

    app: FastAPI
    url: str
    issuer: TokenIssuer

    @asynccontextmanager
    async def client(self, user_id: UUID) -> AsyncIterator[httpx.AsyncClient]:
        async with http_client(self.url, token=self.issuer.issue(user_id)) as client:
            yield client

    async def issue_ticket(self, user_id: UUID) -> str:
        async with self.client(user_id) as client:
            response = await client.post("/ws-tickets")
        response.raise_for_status()
        ticket: str = response.json()["ticket"]
        return ticket

    async def is_ready(self) -> bool:
        try:
            async with http_client(self.url) as client:
                return (await client.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws"


class Cluster:
    """The stores, and the instances that use them."""

    def __init__(
        self, *, database_url: str, redis_url: str, jwks_url: str, issuer: TokenIssuer, engine: AsyncEngine
    ) -> None:
        self.settings: dict[str, Any] = {
            "database_url": database_url,
            "redis_url": redis_url,
            "jwks_url": jwks_url,
            "environment": "test",
            "log_format": "json",
            "ws_ping_seconds": PING_S,
            "drain_seconds": 0,
        }
        self.redis: Redis = create_redis(redis_url)
        self.sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
        self._issuer = issuer
        self._exits = AsyncExitStack()
        self._last_sequences: dict[str, int] = {}

    async def start_instance(self, **settings: Any) -> Instance:
        """Run an instance until the test ends."""
        return await self._exits.enter_async_context(self.run_instance(**settings))

    @asynccontextmanager
    async def run_instance(self, **settings: Any) -> AsyncIterator[Instance]:
        """Run an instance until the block ends."""
        app = create_app(Settings(**self.settings | settings))
        async with serve(app, **WEBSOCKET_OPTIONS) as url:
            yield Instance(app=app, url=url, issuer=self._issuer)

    @asynccontextmanager
    async def run_process(self, **settings: Any) -> AsyncIterator[tuple[Instance, asyncio.subprocess.Process]]:
        """Run an instance under gunicorn in a separate process group until the block ends. Yields when it is ready."""
        port = free_port()
        environment = {name.upper(): str(value) for name, value in (self.settings | settings).items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:shared.server.gunicorn",
            "notifications.main:create_app()",
            env=os.environ | environment | {"PORT": str(port), "HOST": "127.0.0.1"},
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        instance = Instance(app=FastAPI(), url=f"http://127.0.0.1:{port}", issuer=self._issuer)
        try:
            await eventually(instance.is_ready)
            yield instance, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def append_events(self, *events: CloudEvent) -> None:
        """Append events to their streams, with increasing sequence numbers as the relays do."""
        for event in events:
            stream = f"events:{event.source.removeprefix('/hopline/')}"
            sequence = self._last_sequences[stream] = self._last_sequences.get(stream, 0) + 1
            await self.redis.xadd(stream, {"event": event.encode()}, id=f"{sequence}-0")

    async def add_notifications(
        self,
        user_id: UUID,
        *,
        count: int = 1,
        published: bool = True,
        subject: str = "test",
        data: dict[str, Any] | None = None,
    ) -> None:
        """Add and publish notifications as the consumer does.

        If `published` is false, they are only committed, as if the process had died before it published them.
        """
        for _ in range(count):
            async with self.sessions() as session, session.begin():
                row = await add_notification(session, user_id, subject=subject, data=data)
            assert row is not None
            if published:
                await Publisher(redis=self.redis, cache=FeedCache(redis=self.redis)).publish_notification(
                    user_id, NotificationFrame.from_row(row)
                )

    async def kill_subscribers(self) -> None:
        """Close all pub/sub connections of this Redis database."""
        database = str(self.redis.connection_pool.connection_kwargs.get("db", 0))
        for client in await self.redis.client_list(_type="pubsub"):
            if client["db"] == database:
                await self.redis.client_kill_filter(_id=client["id"])

    async def close(self) -> None:
        await self._exits.aclose()
        await self.redis.aclose()


@asynccontextmanager
async def open_cluster(*, database_url: str, redis_url: str, issuer: TokenIssuer) -> AsyncIterator[Cluster]:
    engine = create_async_engine(async_url(database_url), pool_pre_ping=True)
    async with serve(issuer.jwks_app) as users_url:
        jwks_url = f"{users_url}/.well-known/jwks.json"
        cluster = Cluster(
            database_url=database_url, redis_url=redis_url, jwks_url=jwks_url, issuer=issuer, engine=engine
        )
        try:
            yield cluster
        finally:
            await cluster.close()
            await engine.dispose()
