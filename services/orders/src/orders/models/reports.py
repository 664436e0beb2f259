"""Reports: the request, the progress and the key of the file."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base, enum_column

COMPLETE: Final = 100
"""The progress of a report that is done, in percent."""


class ReportKind(StrEnum):
    """The subject of a report."""

    ORDERS = "orders"


class ReportFormat(StrEnum):
    """CSV has all orders. PDF has totals, a chart and the newest orders."""

    CSV = "csv"
    PDF = "pdf"


class ReportScope(StrEnum):
    """The orders in a report: the requesting user's own, or all."""

    OWN = "own"
    ALL = "all"


class ReportStatus(StrEnum):
    """`queued → running → done`, or `failed` from `queued` and `running`. `done` and `failed` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Report(Base):
    """A report on the orders placed in `period_from <= created_at < period_to`.

    `progress` is in percent and never decreases. `object_key` is the key of the file in the object store; the file
    exists once the report is done. `size_bytes` is the size that the worker wrote. `error` is the reason of the failure
    in words for the user.
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
    scope: Mapped[ReportScope] = mapped_column(enum_column(ReportScope, constraint="scope_known"))
    kind: Mapped[ReportKind] = mapped_column(enum_column(ReportKind, constraint="kind_known"))
    format: Mapped[ReportFormat] = mapped_column(enum_column(ReportFormat, constraint="format_known"))
    period_from: Mapped[datetime]
    period_to: Mapped[datetime]
    status: Mapped[ReportStatus] = mapped_column(enum_column(ReportStatus, constraint="status_known"))
    progress: Mapped[int] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    object_key: Mapped[str]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    @property
    def finished(self) -> bool:
        """Whether the report is done or has failed."""
        return self.finished_at is not None
