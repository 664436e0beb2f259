"""The tables of the database `notifications`: feeds, and the inbox and dead letters of the consumers."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db.models import COLUMN_TYPES, named_metadata
from shared.messaging import dead_letter_table, inbox_table


class Base(DeclarativeBase):
    """The declarative base of this service's tables."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


inbox_table(Base.metadata)
dead_letter_table(Base.metadata)


class NotificationKind(StrEnum):
    """The kind of a notification. `order.*` have `data.order_id` and `report.*` have `data.report_id`."""

    USER_REGISTERED = "user.registered"
    ORDER_PLACED = "order.placed"
    ORDER_PACKED = "order.packed"
    ORDER_SHIPPED = "order.shipped"
    ORDER_CANCELLED = "order.cancelled"
    REPORT_PROGRESS = "report.progress"
    REPORT_READY = "report.ready"
    REPORT_FAILED = "report.failed"
    ANNOUNCEMENT = "announcement"


class FeedHead(Base):
    """The length of one user's feed, and the position up to which the user has read it.

    The row is locked while a notification is added, until the commit. So `seq` has no gaps, and a reader that finds n
    also finds 1..n-1. A database sequence would have gaps and could commit out of order.
    """

    __tablename__ = "feed_head"
    __table_args__ = (CheckConstraint("read_seq BETWEEN 0 AND seq", name="read_seq_within_feed"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    read_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Notification(Base):
    """One notification of a user's feed. `event_id` is the id of its event and the public id of the notification.

    `subject` is for example the id of an order. `traceparent`, `tracestate` and `baggage` are those of the span that
    consumed the event. The spans of the deliveries continue them.
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("event_id", "user_id"),
        Index(None, "user_id", "subject", "seq"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[UUID]
    kind: Mapped[str]
    subject: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    traceparent: Mapped[str | None]
    tracestate: Mapped[str | None]
    baggage: Mapped[str | None]
