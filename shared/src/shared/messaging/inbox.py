"""The inbox: one row per applied event, inserted in the transaction of its effect.

Streams deliver at least once, and the row prevents a second effect, so each event takes effect exactly once.
"""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging.tracing import TraceContext


def inbox_table(metadata: sa.MetaData) -> sa.Table:
    """Define `inbox` on a consuming service's metadata, for its migrations; `consumer` is the group's name."""
    return sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("processed_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("traceparent", sa.Text),  # of the span that applied it; redeliveries link to it
    )


INBOX = inbox_table(sa.MetaData())
_CLAIM = insert(INBOX).on_conflict_do_nothing().returning(INBOX.c.event_id)


async def claim_event(session: AsyncSession, *, consumer: str, event_id: UUID) -> bool:
    """Insert the inbox row. Return False if the event was applied before.

    Waits for a concurrent transaction with the same event, so that only one of them applies it.
    """
    row = {"consumer": consumer, "event_id": event_id, "traceparent": TraceContext.current().traceparent}
    return await session.scalar(_CLAIM, row) is not None


async def find_applied(
    session: AsyncSession, *, consumer: str, event_ids: Collection[UUID]
) -> dict[UUID, TraceContext]:
    """Return those of `event_ids` that were applied before, with the trace context of the span that applied them."""
    rows = sa.select(INBOX.c.event_id, INBOX.c.traceparent)
    found = await session.execute(rows.where(INBOX.c.consumer == consumer, INBOX.c.event_id.in_(event_ids)))
    return {event_id: TraceContext(traceparent) for event_id, traceparent in found}
