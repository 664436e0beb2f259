"""The only SQL of this service."""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, exists, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from notifications.models import FeedHead, Notification
from notifications.schemas import FeedState


def _append() -> ReturningInsert[tuple[int]]:
    """The statement of `FeedRepository.append`, with a parameter `new_<column>` for each column but `seq`."""
    heads, notifications = cast("Table", FeedHead.__table__), cast("Table", Notification.__table__)
    new = {name: bindparam(f"new_{name}", type_=column.type) for name, column in notifications.c.items()}
    del new["seq"]
    of_event = (notifications.c.event_id == new["event_id"], notifications.c.user_id == new["user_id"])
    head = (
        postgres_insert(heads)
        .from_select(["user_id", "seq"], select(new["user_id"], literal(1)).where(~exists().where(*of_event)))
        .on_conflict_do_update(index_elements=[heads.c.user_id], set_={"seq": heads.c.seq + 1})
        .returning(heads.c.seq)
        .cte("head")
    )
    row = select(*(value.label(name) for name, value in new.items()), head.c.seq)
    return insert(notifications).from_select([*new, "seq"], row).returning(notifications.c.seq)


_APPEND = _append()
"""Made once: making it anew took a notification half a millisecond."""


class FeedRepository:
    """Reads and writes feeds within the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def append(self, *, user_id: UUID, event_id: UUID, **values: Any) -> int | None:
        """Add a notification at the end of the user's feed; its seq, or None where this event has one already.

        One round trip. The head's row stays locked until the transaction ends. `values` are all the other columns.
        """
        row = {"user_id": user_id, "event_id": event_id, **values}
        seq: int | None = await self._session.scalar(_APPEND, {f"new_{name}": value for name, value in row.items()})
        return seq

    async def after(self, user_id: UUID, *, seq: int, head: int, limit: int) -> Sequence[Notification]:
        """At most `limit` notifications after `seq` up to `head`, oldest first."""
        found = _of(user_id, head=head).where(Notification.seq > seq)
        return await self._rows(found.order_by(Notification.seq).limit(limit))

    async def latest(self, user_id: UUID, *, head: int, limit: int) -> Sequence[Notification]:
        """The `limit` latest up to `head`, newest first."""
        return await self._rows(_of(user_id, head=head).order_by(Notification.seq.desc()).limit(limit))

    async def about(self, user_id: UUID, *, subject: str, head: int, limit: int) -> Sequence[Notification]:
        """At most `limit` notifications about `subject` up to `head`, oldest first."""
        found = _of(user_id, head=head).where(Notification.subject == subject)
        return await self._rows(found.order_by(Notification.seq).limit(limit))

    async def states(self, user_ids: Collection[UUID]) -> dict[UUID, FeedState]:
        """The state of each of these feeds, in one query; a user without notifications has 0 and 0."""
        statement = select(FeedHead.user_id, FeedHead.seq, FeedHead.read_seq).where(
            FeedHead.user_id == func.any(list(user_ids))
        )
        found = {
            row.user_id: FeedState(head=row.seq, read_seq=row.read_seq)
            for row in await self._session.execute(statement)
        }
        return {user_id: found.get(user_id, FeedState(head=0, read_seq=0)) for user_id in user_ids}

    async def advance_read(self, user_id: UUID, *, up_to: int) -> FeedState | None:
        """Move the user's read mark forward to `up_to`, at most to the head; None where that is no move."""
        target = func.least(up_to, FeedHead.seq)
        statement = (
            update(FeedHead)
            .where(FeedHead.user_id == user_id, FeedHead.read_seq < target)
            .values(read_seq=target)
            .returning(FeedHead.seq, FeedHead.read_seq)
        )
        row = (await self._session.execute(statement)).one_or_none()
        return FeedState(head=row.seq, read_seq=row.read_seq) if row else None

    async def _rows(self, statement: Select[Notification]) -> Sequence[Notification]:
        return (await self._session.scalars(statement)).all()


def _of(user_id: UUID, *, head: int) -> Select[Notification]:
    return select(Notification).where(Notification.user_id == user_id, Notification.seq <= head)
