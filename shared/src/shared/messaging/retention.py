"""Retention of outbox and inbox rows, which are deleted in batches of limited size.

An outbox row is deleted after every consumer group has acknowledged it for the retention time. An inbox row is deleted
after its event was deleted from every outbox, because until then the event can be delivered again:

    events_since(outbox of users), events_since(outbox of orders), …  ──the earliest──▶  prune_inbox(before=…)
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging.inbox import INBOX
from shared.messaging.low_water_mark import ACKNOWLEDGED_MARK, LOW_WATER_MARK
from shared.messaging.outbox import OUTBOX


async def prune_outbox(session: AsyncSession, *, acknowledged: int, retention: timedelta, limit: int) -> int:
    """Delete at most `limit` rows that all groups acknowledged `retention` ago, oldest first; return their number.

    `acknowledged` is the sequence up to which all groups have acknowledged now (`get_acknowledged_seq`). It is stored
    with the current time, and its rows are deleted `retention` later. The low-water mark is moved up in the same
    transaction.
    """
    if acknowledged:
        await session.execute(insert(ACKNOWLEDGED_MARK).values(seq=acknowledged).on_conflict_do_nothing())
    acknowledged_before = sa.select(sa.func.max(ACKNOWLEDGED_MARK.c.seq)).where(
        ACKNOWLEDGED_MARK.c.noted_at <= sa.func.now() - retention
    )
    deletable = min(acknowledged, await session.scalar(acknowledged_before) or 0)
    oldest = sa.select(OUTBOX.c.pub_seq).where(OUTBOX.c.pub_seq <= deletable).order_by(OUTBOX.c.pub_seq).limit(limit)
    rows = await session.scalars(sa.delete(OUTBOX).where(OUTBOX.c.pub_seq.in_(oldest)).returning(OUTBOX.c.pub_seq))
    deleted = rows.all()
    if deleted:
        new_mark = insert(LOW_WATER_MARK).values(seq=max(deleted))
        higher = sa.func.greatest(LOW_WATER_MARK.c.seq, new_mark.excluded.seq)
        await session.execute(
            new_mark.on_conflict_do_update(index_elements=[LOW_WATER_MARK.c.single], set_={"seq": higher})
        )
        await session.execute(sa.delete(ACKNOWLEDGED_MARK).where(ACKNOWLEDGED_MARK.c.seq < deletable))
    return len(deleted)


async def events_since(session: AsyncSession) -> datetime:
    """Return the time of the oldest event in the outbox, or now if it is empty. Scans the table."""
    since = sa.select(sa.func.coalesce(sa.func.min(OUTBOX.c.created_at), sa.func.now()))
    found: datetime = (await session.execute(since)).scalar_one()
    return found


async def prune_inbox(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Delete at most `limit` rows of events applied before `before`; return their number. May scan the table."""
    key = sa.tuple_(INBOX.c.consumer, INBOX.c.event_id)
    old = sa.select(INBOX.c.consumer, INBOX.c.event_id).where(INBOX.c.processed_at < before).limit(limit)
    deleted = await session.scalars(sa.delete(INBOX).where(key.in_(old)).returning(INBOX.c.event_id))
    return len(deleted.all())
