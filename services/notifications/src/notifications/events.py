"""What other services' events do here: each becomes one notification of the user it is about.

The stock levels in an event are published to the products' rooms, at most once: neither stored nor repeated.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from notifications.models import Kind
from notifications.realtime.frames import NotificationFrame, Stock
from notifications.realtime.publisher import Publisher
from notifications.repository import FeedRepository
from notifications.service import FeedService
from shared.background import running
from shared.events import AfterCommit, CloudEvent, Consumer, Handler, Trace

log = structlog.get_logger(__name__)

GROUP = "notifications"


class OrderNews(BaseModel):
    """What a device gets to know of an order: enough for one line on a screen."""

    order_id: UUID
    status: str
    total_cents: int
    currency: str


class ReportProgress(BaseModel):
    """How many percent of a report there are."""

    report_id: UUID
    progress: int


class ReportReady(BaseModel):
    """Where the file of a report can be had."""

    report_id: UUID
    download_url: str
    size_bytes: int


class ReportFailed(BaseModel):
    """Why there will be no report."""

    report_id: UUID
    reason: str


class UserNews(BaseModel):
    """What a device gets to know of its user's account."""

    user_id: UUID


class Addressee(BaseModel):
    """Whom an event is about."""

    user_id: UUID


class StockLevel(BaseModel):
    """How many units of a product can be ordered after an event; a larger version is newer."""

    sku: str
    available: int
    version: int


class StockLevels(BaseModel):
    """The products of which an event changed the number of available units; none if it has no such member."""

    stock: list[StockLevel] = []


KINDS: Mapping[str, Mapping[str, tuple[Kind, type[BaseModel]]]] = {
    "events:orders": {
        "hopline.order.placed.v1": (Kind.ORDER_PLACED, OrderNews),
        "hopline.order.packed.v1": (Kind.ORDER_PACKED, OrderNews),
        "hopline.order.shipped.v1": (Kind.ORDER_SHIPPED, OrderNews),
        "hopline.order.cancelled.v1": (Kind.ORDER_CANCELLED, OrderNews),
        "hopline.report.progress.v1": (Kind.REPORT_PROGRESS, ReportProgress),
        "hopline.report.ready.v1": (Kind.REPORT_READY, ReportReady),
        "hopline.report.failed.v1": (Kind.REPORT_FAILED, ReportFailed),
    },
    "events:users": {
        "hopline.user.registered.v1": (Kind.USER_REGISTERED, UserNews),
    },
}
"""By stream and event type: the notification's kind, and what of the event's data goes along."""


@asynccontextmanager
async def consumers(
    *, publisher: Publisher, sessions: async_sessionmaker[AsyncSession], redis: Redis
) -> AsyncIterator[None]:
    """Consume every stream of `KINDS` until the block ends."""
    by_stream = {
        stream: {name: _handler(kind, news, publisher=publisher) for name, (kind, news) in kinds.items()}
        for stream, kinds in KINDS.items()
    }
    async with running(
        Consumer(group=GROUP, stream=stream, handlers=handlers, sessions=sessions, redis=redis)
        for stream, handlers in by_stream.items()
    ):
        yield


def _handler(kind: Kind, news: type[BaseModel], *, publisher: Publisher) -> Handler:
    async def notify(session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        """Add to the feed within the inbox transaction; publish once that is committed."""
        user_id = Addressee.model_validate(event.data).user_id
        row = await FeedService(repository=FeedRepository(session)).add(
            user_id=user_id,
            event_id=event.id,
            kind=kind,
            subject=event.subject,
            data=news.model_validate(event.data).model_dump(mode="json"),
            at=event.time,
            trace=Trace.current(),
        )
        if row is None:
            return None
        frame = NotificationFrame.of(row)
        levels = StockLevels.model_validate(event.data).stock
        stock = [
            Stock(room=f"product:{level.sku}", available=level.available, version=level.version) for level in levels
        ]

        async def publish() -> None:
            await publisher.notification(user_id, frame, stock=stock)
            log.info("notification_added", user_id=user_id, kind=kind, seq=frame.seq)

        return publish

    return notify
