"""Tables and enums."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.events import dead_letter_table, inbox_table
from shared.models import COLUMN_TYPES, named_metadata


class Base(DeclarativeBase):
    """This service's tables."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


inbox_table(Base.metadata)
dead_letter_table(Base.metadata)


class Kind(StrEnum):
    """What a notification is about. `order.*` carry data.order_id, `report.*` data.report_id."""

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
    """One user's feed: how many notifications it has, and up to which one the user has read.

    The row is the lock that makes `seq` gapless: whoever adds a notification holds it until the commit, so that a
    reader who sees n also sees 1..n-1. A database sequence would leave holes and commit out of order.
    """

    __tablename__ = "feed_head"
    __table_args__ = (CheckConstraint("read_seq BETWEEN 0 AND seq", name="read_seq_within_feed"),)

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    read_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Notification(Base):
    """One entry of a user's feed. `event_id` is that of the event that caused it, and the notification's public id.

    `subject` is what it is about (an order's id, say). `traceparent`, `tracestate` and `baggage` are those of the
    span that consumed the event, for whoever delivers it.
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
