"""The inbox: which events a consumer has applied, in the same transaction as their effects.

Streams deliver at least once. With this row an event's effect happens at most once, hence exactly once.
"""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events.tracing import Trace


def inbox_table(metadata: sa.MetaData) -> sa.Table:
    """Define `inbox` on a consuming service's metadata, for its migrations; `consumer` is the group's name."""
    return sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("processed_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("traceparent", sa.Text),  # the span that applied it: what comes again can lead there
    )


INBOX = inbox_table(sa.MetaData())
_CLAIM = insert(INBOX).on_conflict_do_nothing().returning(INBOX.c.event_id)


async def claim(session: AsyncSession, *, consumer: str, event_id: UUID) -> bool:
    """Take the event for this transaction; False where it was applied before.

    Waits for another transaction that has taken it and is not done, so that of two only one goes on.
    """
    row = {"consumer": consumer, "event_id": event_id, "traceparent": Trace.current().traceparent}
    return await session.scalar(_CLAIM, row) is not None


async def applied(session: AsyncSession, *, consumer: str, event_ids: Collection[UUID]) -> dict[UUID, Trace]:
    """Those of `event_ids` that were applied before, each with the span it was applied in.

    One query to skip a whole batch that is delivered again.
    """
    rows = sa.select(INBOX.c.event_id, INBOX.c.traceparent)
    found = await session.execute(rows.where(INBOX.c.consumer == consumer, INBOX.c.event_id.in_(event_ids)))
    return {event_id: Trace(traceparent) for event_id, traceparent in found}
