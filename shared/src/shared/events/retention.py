"""How long events are remembered: what may be forgotten of an outbox and of an inbox, a bounded batch at a time.

An outbox row may go when every consumer group has had it acknowledged for the whole time it is to be kept. An inbox
row may go when its event can not come again: when no outbox has it any more. So inboxes follow outboxes, never ahead:

    events_since(outbox of users), events_since(outbox of orders), …  ──the earliest──▶  prune_inbox(before=…)
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events.floor import FLOOR, MARK
from shared.events.inbox import INBOX
from shared.events.outbox import OUTBOX


async def prune_outbox(session: AsyncSession, *, acknowledged: int, kept: timedelta, limit: int) -> int:
    """Remove at most `limit` rows, the oldest first, that all had acknowledged `kept` ago; how many went.

    `acknowledged` is up to where every group has acknowledged now (`trim.acknowledged`). It is noted with the time, so
    that the first row goes `kept` after it was first seen to be acknowledged. Counter and floor stay, whatever goes.
    """
    if acknowledged:
        await session.execute(insert(MARK).values(seq=acknowledged).on_conflict_do_nothing())
    noted = sa.select(sa.func.max(MARK.c.seq)).where(MARK.c.noted_at <= sa.func.now() - kept)
    settled = min(acknowledged, await session.scalar(noted) or 0)
    oldest = sa.select(OUTBOX.c.pub_seq).where(OUTBOX.c.pub_seq <= settled).order_by(OUTBOX.c.pub_seq).limit(limit)
    removed = await session.scalars(sa.delete(OUTBOX).where(OUTBOX.c.pub_seq.in_(oldest)).returning(OUTBOX.c.pub_seq))
    gone = removed.all()
    if gone:
        floor = insert(FLOOR).values(seq=max(gone))
        higher = sa.func.greatest(FLOOR.c.seq, floor.excluded.seq)
        await session.execute(floor.on_conflict_do_update(index_elements=[FLOOR.c.single], set_={"seq": higher}))
        await session.execute(sa.delete(MARK).where(MARK.c.seq < settled))
    return len(gone)


async def events_since(session: AsyncSession) -> datetime:
    """Since when there are events that this outbox could still ship again; now, where it has none. One scan."""
    since = sa.select(sa.func.coalesce(sa.func.min(OUTBOX.c.created_at), sa.func.now()))
    found: datetime = (await session.execute(since)).scalar_one()
    return found


async def prune_inbox(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Forget at most `limit` events that were applied before `before`; how many. Each batch may scan the table."""
    key = sa.tuple_(INBOX.c.consumer, INBOX.c.event_id)
    old = sa.select(INBOX.c.consumer, INBOX.c.event_id).where(INBOX.c.processed_at < before).limit(limit)
    forgotten = await session.scalars(sa.delete(INBOX).where(key.in_(old)).returning(INBOX.c.event_id))
    return len(forgotten.all())
