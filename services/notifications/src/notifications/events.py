"""Consumes events of other services. Each event adds one notification to the feed of its user.

The stock levels in an event are published to the rooms of their products, at most once and without being stored.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from notifications.models import NotificationKind
from notifications.realtime.frames import NotificationFrame, Stock
from notifications.realtime.publisher import Publisher
from notifications.repository import FeedRepository
from notifications.service import FeedService
from shared.background import run_loops
from shared.messaging import AfterCommit, CloudEvent, Consumer, EventHandler, TraceContext

log = structlog.get_logger(__name__)

GROUP = "notifications"


class OrderData(BaseModel):
    """The data of a notification about an order."""

    order_id: UUID
    status: str
    total_cents: int
    currency: str


class ReportProgressData(BaseModel):
    """The data of `report.progress`. `progress` is in percent."""

    report_id: UUID
    progress: int


class ReportReadyData(BaseModel):
    """The data of `report.ready`."""

    report_id: UUID
    download_url: str
    size_bytes: int


class ReportFailedData(BaseModel):
    """The data of `report.failed`."""

    report_id: UUID
    reason: str


class UserData(BaseModel):
    """The data of a notification about the account."""

    user_id: UUID


class Recipient(BaseModel):
    """The user whom an event is about."""

    user_id: UUID


class StockLevel(BaseModel):
    """The available units of a product after an event. A larger version is newer."""

    sku: str
    available: int
    version: int


class StockLevels(BaseModel):
    """The stock levels in the data of an event. Most events have none."""

    stock: list[StockLevel] = []


NOTIFICATION_KINDS: Mapping[str, Mapping[str, tuple[NotificationKind, type[BaseModel]]]] = {
    "events:orders": {
        "hopline.order.placed.v1": (NotificationKind.ORDER_PLACED, OrderData),
        "hopline.order.packed.v1": (NotificationKind.ORDER_PACKED, OrderData),
        "hopline.order.shipped.v1": (NotificationKind.ORDER_SHIPPED, OrderData),
        "hopline.order.cancelled.v1": (NotificationKind.ORDER_CANCELLED, OrderData),
        "hopline.report.progress.v1": (NotificationKind.REPORT_PROGRESS, ReportProgressData),
        "hopline.report.ready.v1": (NotificationKind.REPORT_READY, ReportReadyData),
        "hopline.report.failed.v1": (NotificationKind.REPORT_FAILED, ReportFailedData),
    },
    "events:users": {
        "hopline.user.registered.v1": (NotificationKind.USER_REGISTERED, UserData),
    },
}
"""The kind and the data of a notification, by stream and event type."""


@asynccontextmanager
async def run_consumers(
    *, publisher: Publisher, sessions: async_sessionmaker[AsyncSession], redis: Redis
) -> AsyncIterator[None]:
    """Consume the streams of `NOTIFICATION_KINDS` until the block ends."""
    handlers_by_stream = {
        stream: {name: _create_handler(kind, data, publisher=publisher) for name, (kind, data) in kinds.items()}
        for stream, kinds in NOTIFICATION_KINDS.items()
    }
    async with run_loops(
        Consumer(group=GROUP, stream=stream, handlers=handlers, sessions=sessions, redis=redis)
        for stream, handlers in handlers_by_stream.items()
    ):
        yield


def _create_handler(kind: NotificationKind, data: type[BaseModel], *, publisher: Publisher) -> EventHandler:
    async def add_notification(session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        """Add a notification in the transaction of the inbox, and publish it after the commit."""
        user_id = Recipient.model_validate(event.data).user_id
        row = await FeedService(repository=FeedRepository(session=session)).add_notification(
            user_id=user_id,
            event_id=event.id,
            kind=kind,
            subject=event.subject,
            data=data.model_validate(event.data).model_dump(mode="json"),
            at=event.time,
            trace=TraceContext.current(),
        )
        if row is None:
            return None
        frame = NotificationFrame.from_row(row)
        levels = StockLevels.model_validate(event.data).stock
        stock = [
            Stock(room=f"product:{level.sku}", available=level.available, version=level.version) for level in levels
        ]

        async def publish() -> None:
            await publisher.publish_notification(user_id, frame, stock=stock)
            log.info("notification_added", user_id=user_id, kind=kind, seq=frame.seq)

        return publish

    return add_notification
