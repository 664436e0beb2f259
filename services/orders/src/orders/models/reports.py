"""Reports: what was asked for, how far it is, and where its file lies."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base, values_of

COMPLETE: Final = 100
"""The progress of a report whose file can be had."""


class ReportKind(StrEnum):
    """What a report is about."""

    ORDERS = "orders"


class ReportFormat(StrEnum):
    """CSV has every order; PDF has sums, a chart and the newest orders."""

    CSV = "csv"
    PDF = "pdf"


class ReportScope(StrEnum):
    """Whose orders are in it."""

    OWN = "own"
    ALL = "all"


class ReportStatus(StrEnum):
    """`queued → running → done`, or `failed` from either of the first two; `done` and `failed` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Report(Base):
    """A report on the orders placed in `period_from <= created_at < period_to`.

    `progress` is in percent and only grows. `object_key` names its file in the object store, where it is from the
    moment the report is done; `size_bytes` is what the worker wrote. `error` says why it failed, in words for its user.
    """

    __tablename__ = "report"
    __table_args__ = (
        CheckConstraint("period_from < period_to", name="period_forward"),
        CheckConstraint("progress BETWEEN 0 AND 100", name="progress_in_percent"),
        CheckConstraint("(status IN ('done', 'failed')) = (finished_at IS NOT NULL)", name="finished_at"),
        CheckConstraint("(status = 'done') = (size_bytes IS NOT NULL)", name="size_bytes"),
        CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="error"),
        Index("ix_report_finished_at", "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    scope: Mapped[ReportScope] = mapped_column(values_of(ReportScope, constraint="scope_known"))
    kind: Mapped[ReportKind] = mapped_column(values_of(ReportKind, constraint="kind_known"))
    format: Mapped[ReportFormat] = mapped_column(values_of(ReportFormat, constraint="format_known"))
    period_from: Mapped[datetime]
    period_to: Mapped[datetime]
    status: Mapped[ReportStatus] = mapped_column(values_of(ReportStatus, constraint="status_known"))
    progress: Mapped[int] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    object_key: Mapped[str]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    @property
    def finished(self) -> bool:
        """Whether it has come to one of its ends."""
        return self.finished_at is not None
