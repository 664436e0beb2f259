"""The tables of the workers' database: the job ledger, the email ledger, and what consuming events needs."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.events import Trace, dead_letter_table, inbox_table
from shared.models import COLUMN_TYPES, named_metadata


class JobState(StrEnum):
    """Where a job is.

    Each change is a single compare-and-set in `workers.ledger`::

    queued ──claim──▶ running ──complete──▶ done
       ▲                │  └──bury──▶ dead
       └─ retry, release, expired lease, and, when a person asks for it, dead ──replay
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class EmailState(StrEnum):
    """`sending`: the SMTP server may or may not have the message. `sent`: it has said that it does."""

    SENDING = "sending"
    SENT = "sent"


class Base(DeclarativeBase):
    """Base of this service's tables."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


class Job(Base):
    """One piece of work. `attempt` counts the claims so far; `run_after` is the earliest time of the next.

    `lease_token` is new with each claim: who holds an old one can no longer write. Times are Postgres' own clock, so
    that workers' clocks need not agree.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'dead')", name="state"),
        CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="lease_token"),
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease_until"),
        CheckConstraint("(state IN ('done', 'dead')) = (finished_at IS NOT NULL)", name="finished_at"),
        Index("ix_job_queued", "run_after", "id", postgresql_where=text("state = 'queued'")),
        Index("ix_job_running", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_job_done", "finished_at", postgresql_where=text("state = 'done'")),
        Index("ix_job_dead", "finished_at", postgresql_where=text("state = 'dead'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[str]
    dedupe_key: Mapped[str] = mapped_column(unique=True)
    payload: Mapped[dict[str, Any]]
    traceparent: Mapped[str | None]
    tracestate: Mapped[str | None]
    baggage: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    run_after: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    @property
    def trace(self) -> Trace:
        """The context of what caused the job."""
        return Trace(self.traceparent, self.tracestate, self.baggage)


class Email(Base):
    """One message to one recipient; its key is that of the job that sends it."""

    __tablename__ = "email"
    __table_args__ = (
        CheckConstraint("state IN ('sending', 'sent')", name="state"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_at"),
    )

    dedupe_key: Mapped[str] = mapped_column(ForeignKey("job.dedupe_key"), primary_key=True)
    message_id: Mapped[str] = mapped_column(unique=True)
    recipient: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=EmailState.SENDING)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]


class Schedule(Base):
    """When something regular is due: `next_slot` is the next time, `last_slot` the latest one that became a job."""

    __tablename__ = "schedule"

    name: Mapped[str] = mapped_column(primary_key=True)
    cron: Mapped[str]
    next_slot: Mapped[datetime]
    last_slot: Mapped[datetime | None]
    last_job_id: Mapped[UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))


inbox_table(Base.metadata)
dead_letter_table(Base.metadata)
