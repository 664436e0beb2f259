"""Tables of the workers' database: jobs, emails, schedules, and those of the event consumers."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db.models import COLUMN_TYPES, named_metadata
from shared.messaging import TraceContext, dead_letter_table, inbox_table


class JobState(StrEnum):
    """State of a job.

    Each transition is one compare-and-set statement in `workers.jobs.repository`::

    queued ──claim──▶ running ──complete──▶ done
       ▲                │  └──dead_letter──▶ dead
       └─ retry, release, expired lease; replay, from dead
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class EmailState(StrEnum):
    """State of an email. `sent`: the SMTP server accepted it. `sending`: it is unknown whether the server did."""

    SENDING = "sending"
    SENT = "sent"


class Base(DeclarativeBase):
    """The declarative base of the workers' tables."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


class Job(Base):
    """One job of the type `kind`. `attempt` counts its claims. `run_after` is the earliest time of the next claim.

    Each claim sets a new `lease_token`, so that results with an older token are rejected. All times come from the clock
    of PostgreSQL, because the clocks of the workers may differ.
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
    def trace(self) -> TraceContext:
        """Return the trace context in which the job was added."""
        return TraceContext(self.traceparent, self.tracestate, self.baggage)


class Email(Base):
    """One email to one recipient. Its primary key is the dedupe key of the job that sends it."""

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
    """One schedule. `next_slot` is the next slot, `last_slot` the last one for which a job was added."""

    __tablename__ = "schedule"

    name: Mapped[str] = mapped_column(primary_key=True)
    cron: Mapped[str]
    next_slot: Mapped[datetime]
    last_slot: Mapped[datetime | None]
    last_job_id: Mapped[UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))


inbox_table(Base.metadata)
dead_letter_table(Base.metadata)
