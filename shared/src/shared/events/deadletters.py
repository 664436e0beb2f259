"""Dead letters: events that could not be applied, kept with their error until somebody decides.

The stream goes on without them. To try one again, request its replay; the running consumer sees to it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


def dead_letter_table(metadata: sa.MetaData) -> sa.Table:
    """Define `dead_letter` on a consuming service's metadata, for its migrations.

    One row per consumer group, stream and entry, however often the entry comes again. `body` is what the stream
    held, readable or not. A letter is open until `replayed_at`.
    """
    return sa.Table(
        "dead_letter",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=True),
        sa.Column("event_type", sa.Text, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failed_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("replay_requested_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("replayed_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Index("dead_letter_entry_key", "consumer", "stream", "entry_id", unique=True),
        sa.Index("dead_letter_open_idx", "consumer", "stream", postgresql_where=sa.text("replayed_at IS NULL")),
    )


DEAD_LETTERS = dead_letter_table(sa.MetaData())
_OPEN = DEAD_LETTERS.c.replayed_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An open letter; `event_id` and `event_type` are None where the body could not be read."""

    id: int
    consumer: str
    stream: str
    entry_id: str
    event_id: UUID | None
    event_type: str | None
    error: str
    attempts: int
    failed_at: datetime
    replay_requested_at: datetime | None


_SHOWN = [DEAD_LETTERS.c[name] for name in DeadLetter.__dataclass_fields__]


async def dead_letters(session: AsyncSession, *, limit: int = 100) -> list[DeadLetter]:
    """The open letters of this database, oldest first."""
    rows = await session.execute(sa.select(*_SHOWN).where(_OPEN).order_by(DEAD_LETTERS.c.id).limit(limit))
    return [DeadLetter(**row) for row in rows.mappings()]


async def request_replay(session: AsyncSession, *, ids: Collection[int] | None = None) -> int:
    """Ask the consumer to try these open letters again (None: all of them); how many there are.

    It does so once within about two seconds; a letter that fails again stays open with its new error.
    """
    chosen = _OPEN if ids is None else sa.and_(_OPEN, DEAD_LETTERS.c.id.in_(ids))
    request = sa.update(DEAD_LETTERS).where(chosen).values(replay_requested_at=sa.func.now())
    return len((await session.scalars(request.returning(DEAD_LETTERS.c.id))).all())


async def is_replayed(session: AsyncSession, letter_id: int) -> bool:
    """Whether there was such a letter, and its replay has gone well."""
    row = sa.select(DEAD_LETTERS.c.id).where(DEAD_LETTERS.c.id == letter_id, DEAD_LETTERS.c.replayed_at.is_not(None))
    return await session.scalar(row) is not None


async def prune_replayed(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Forget at most `limit` letters that were replayed, or closed, longer ago than `kept`; how many.

    Open ones stay. Of an event that was applied the inbox knows: it can not come back for want of its letter.
    """
    old = sa.select(DEAD_LETTERS.c.id).where(DEAD_LETTERS.c.replayed_at < sa.func.now() - kept).limit(limit)
    gone = await session.scalars(sa.delete(DEAD_LETTERS).where(DEAD_LETTERS.c.id.in_(old)).returning(DEAD_LETTERS.c.id))
    return len(gone.all())


async def bury(
    session: AsyncSession,
    *,
    consumer: str,
    stream: str,
    entry_id: str,
    body: bytes,
    event_id: UUID | None,
    event_type: str | None,
    error: str,
    attempts: int,
) -> None:
    """Keep an entry with its error; a no-op for one that is kept already."""
    row = {
        "consumer": consumer,
        "stream": stream,
        "entry_id": entry_id,
        "body": body,
        "event_id": event_id,
        "event_type": event_type,
        "error": error,
        "attempts": attempts,
    }
    await session.execute(insert(DEAD_LETTERS).values(row).on_conflict_do_nothing())


async def requested(session: AsyncSession, *, consumer: str, stream: str) -> list[int]:
    """The ids of the letters whose replay was requested, oldest first."""
    mine = (DEAD_LETTERS.c.consumer == consumer, DEAD_LETTERS.c.stream == stream)
    wanted = sa.select(DEAD_LETTERS.c.id).where(*mine, _OPEN, DEAD_LETTERS.c.replay_requested_at.is_not(None))
    return list(await session.scalars(wanted.order_by(DEAD_LETTERS.c.id)))


async def take(session: AsyncSession, letter_id: int) -> bytes | None:
    """The letter's body, the letter being closed by this transaction; None where somebody else has it or did it."""
    row = sa.select(DEAD_LETTERS.c.body).where(DEAD_LETTERS.c.id == letter_id, _OPEN)
    body: bytes | None = await session.scalar(row.with_for_update(skip_locked=True))
    if body is not None:
        closed = sa.update(DEAD_LETTERS).where(DEAD_LETTERS.c.id == letter_id).values(replayed_at=sa.func.now())
        await session.execute(closed)
    return body


async def reopen(session: AsyncSession, letter_id: int, *, error: str) -> None:
    """Note that a replay failed: the letter stays, with the new error and one more attempt."""
    values = {"replay_requested_at": None, "error": error, "attempts": DEAD_LETTERS.c.attempts + 1}
    await session.execute(sa.update(DEAD_LETTERS).where(DEAD_LETTERS.c.id == letter_id).values(values))
