"""The SQL of this service."""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, exists, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from notifications.models import FeedHead, Notification
from notifications.schemas import FeedState


def _build_append_statement() -> ReturningInsert[tuple[int]]:
    """Return the statement of `append_notification`. Each column except `seq` has a parameter `new_<column>`."""
    heads, notifications = cast("Table", FeedHead.__table__), cast("Table", Notification.__table__)
    new = {name: bindparam(f"new_{name}", type_=column.type) for name, column in notifications.c.items()}
    del new["seq"]
    same_event = (notifications.c.event_id == new["event_id"], notifications.c.user_id == new["user_id"])
    head = (
        postgres_insert(heads)
        .from_select(["user_id", "seq"], select(new["user_id"], literal(1)).where(~exists().where(*same_event)))
        .on_conflict_do_update(index_elements=[heads.c.user_id], set_={"seq": heads.c.seq + 1})
        .returning(heads.c.seq)
        .cte("head")
    )
    row = select(*(value.label(name) for name, value in new.items()), head.c.seq)
    return insert(notifications).from_select([*new, "seq"], row).returning(notifications.c.seq)


_APPEND = _build_append_statement()
"""Built once, because building it takes half a millisecond."""


class FeedRepository:
    """Reads and writes feeds in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def append_notification(self, *, user_id: UUID, event_id: UUID, **values: Any) -> int | None:
        """Append a notification to the user's feed. Return its seq, or None if the event has a notification already.

        Takes one round trip, and locks the feed until the transaction ends. `values` are the other columns.
        """
        row = {"user_id": user_id, "event_id": event_id, **values}
        seq: int | None = await self._session.scalar(_APPEND, {f"new_{name}": value for name, value in row.items()})
        return seq

    async def list_after(self, user_id: UUID, *, seq: int, head: int, limit: int) -> Sequence[Notification]:
        """Return at most `limit` notifications after `seq` up to `head`, oldest first."""
        found = _select_feed(user_id, head=head).where(Notification.seq > seq)
        return await self._fetch(found.order_by(Notification.seq).limit(limit))

    async def list_latest(self, user_id: UUID, *, head: int, limit: int) -> Sequence[Notification]:
        """Return the `limit` latest notifications up to `head`, newest first."""
        return await self._fetch(_select_feed(user_id, head=head).order_by(Notification.seq.desc()).limit(limit))

    async def list_about_subject(self, user_id: UUID, *, subject: str, head: int, limit: int) -> Sequence[Notification]:
        """Return at most `limit` notifications about `subject` up to `head`, oldest first."""
        found = _select_feed(user_id, head=head).where(Notification.subject == subject)
        return await self._fetch(found.order_by(Notification.seq).limit(limit))

    async def get_states(self, user_ids: Collection[UUID]) -> dict[UUID, FeedState]:
        """Return the state of these feeds, in one query. A user without notifications has 0 and 0."""
        statement = select(FeedHead.user_id, FeedHead.seq, FeedHead.read_seq).where(
            FeedHead.user_id == func.any(list(user_ids))
        )
        found = {
            row.user_id: FeedState(head=row.seq, read_seq=row.read_seq)
            for row in await self._session.execute(statement)
        }
        return {user_id: found.get(user_id, FeedState(head=0, read_seq=0)) for user_id in user_ids}

    async def advance_read_mark(self, user_id: UUID, *, up_to: int) -> FeedState | None:
        """Advance the read mark to `up_to`, at most to the head. Return None if that changes nothing."""
        target = func.least(up_to, FeedHead.seq)
        statement = (
            update(FeedHead)
            .where(FeedHead.user_id == user_id, FeedHead.read_seq < target)
            .values(read_seq=target)
            .returning(FeedHead.seq, FeedHead.read_seq)
        )
        row = (await self._session.execute(statement)).one_or_none()
        return FeedState(head=row.seq, read_seq=row.read_seq) if row else None

    async def _fetch(self, statement: Select[Notification]) -> Sequence[Notification]:
        return (await self._session.scalars(statement)).all()


def _select_feed(user_id: UUID, *, head: int) -> Select[Notification]:
    return select(Notification).where(Notification.user_id == user_id, Notification.seq <= head)
