"""Dead letters: events that could not be applied, stored with their error.

The consumer continues with the next event. A requested replay is executed by the running consumer.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession


def dead_letter_table(metadata: sa.MetaData) -> sa.Table:
    """Define `dead_letter` on a consuming service's metadata, for its migrations.

    There is one row per consumer group, stream and entry. `body` is the content of the entry, even if it is not a valid
    event. A dead letter is open until `replayed_at`.
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
    """An open dead letter. `event_id` and `event_type` are None if the body is not a valid event."""

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


_COLUMNS = [DEAD_LETTERS.c[name] for name in DeadLetter.__dataclass_fields__]


async def list_dead_letters(session: AsyncSession, *, limit: int = 100) -> list[DeadLetter]:
    """Return the open dead letters of this database, oldest first."""
    rows = await session.execute(sa.select(*_COLUMNS).where(_OPEN).order_by(DEAD_LETTERS.c.id).limit(limit))
    return [DeadLetter(**row) for row in rows.mappings()]


async def request_replay(session: AsyncSession, *, ids: Collection[int] | None = None) -> int:
    """Request a replay of these open dead letters (None: of all), and return their number.

    The consumer tries each of them once within seconds. A dead letter that fails again stays open with the new error.
    """
    chosen = _OPEN if ids is None else sa.and_(_OPEN, DEAD_LETTERS.c.id.in_(ids))
    request = sa.update(DEAD_LETTERS).where(chosen).values(replay_requested_at=sa.func.now())
    return len((await session.scalars(request.returning(DEAD_LETTERS.c.id))).all())


async def is_replayed(session: AsyncSession, dead_letter_id: int) -> bool:
    """Return whether this dead letter exists and was replayed."""
    row = sa.select(DEAD_LETTERS.c.id).where(
        DEAD_LETTERS.c.id == dead_letter_id, DEAD_LETTERS.c.replayed_at.is_not(None)
    )
    return await session.scalar(row) is not None


async def prune_dead_letters(session: AsyncSession, *, retention: timedelta, limit: int) -> int:
    """Delete at most `limit` dead letters that were replayed or closed `retention` ago, and return their number.

    Their events are not applied again: the inbox contains an event as long as it can be delivered.
    """
    old = sa.select(DEAD_LETTERS.c.id).where(DEAD_LETTERS.c.replayed_at < sa.func.now() - retention).limit(limit)
    deleted = await session.scalars(
        sa.delete(DEAD_LETTERS).where(DEAD_LETTERS.c.id.in_(old)).returning(DEAD_LETTERS.c.id)
    )
    return len(deleted.all())


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedEntry:
    """A stream entry that could not be applied; see `dead_letter_table`."""

    consumer: str
    stream: str
    entry_id: str
    body: bytes
    event_id: UUID | None
    event_type: str | None
    error: str
    attempts: int


async def insert_dead_letter(session: AsyncSession, entry: FailedEntry) -> None:
    """Store the entry unless it is a dead letter already."""
    await session.execute(insert(DEAD_LETTERS).values(asdict(entry)).on_conflict_do_nothing())


async def list_requested_replays(session: AsyncSession, *, consumer: str, stream: str) -> list[int]:
    """Return the ids of the open dead letters with a requested replay, oldest first."""
    of_consumer = (DEAD_LETTERS.c.consumer == consumer, DEAD_LETTERS.c.stream == stream)
    requested = sa.select(DEAD_LETTERS.c.id).where(*of_consumer, _OPEN, DEAD_LETTERS.c.replay_requested_at.is_not(None))
    return list(await session.scalars(requested.order_by(DEAD_LETTERS.c.id)))


async def claim_replay(session: AsyncSession, dead_letter_id: int) -> bytes | None:
    """Close the dead letter in this transaction and return its body; None if it is locked or closed already."""
    row = sa.select(DEAD_LETTERS.c.body).where(DEAD_LETTERS.c.id == dead_letter_id, _OPEN)
    body: bytes | None = await session.scalar(row.with_for_update(skip_locked=True))
    if body is not None:
        closed = sa.update(DEAD_LETTERS).where(DEAD_LETTERS.c.id == dead_letter_id).values(replayed_at=sa.func.now())
        await session.execute(closed)
    return body


async def record_failed_replay(session: AsyncSession, dead_letter_id: int, *, error: str) -> None:
    """Record the error of a failed replay. The dead letter stays open, with one more attempt."""
    values = {"replay_requested_at": None, "error": error, "attempts": DEAD_LETTERS.c.attempts + 1}
    await session.execute(sa.update(DEAD_LETTERS).where(DEAD_LETTERS.c.id == dead_letter_id).values(values))
