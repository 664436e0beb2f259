"""What a feed does: grow by events, be paged, be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from notifications.models import Kind, Notification
from notifications.repository import FeedRepository
from notifications.schemas import FeedState, NotificationOut, NotificationPage
from shared.events import Trace


@dataclass(frozen=True, slots=True)
class ReadMark:
    """A feed's state after an attempt to mark it read; `moved` where that changed anything."""

    state: FeedState
    moved: bool


class FeedService:
    """Feeds within one transaction. A page shows the feed as long as it was at one moment, its head."""

    def __init__(self, *, repository: FeedRepository) -> None:
        self._repository = repository

    async def add(
        self,
        *,
        user_id: UUID,
        event_id: UUID,
        kind: Kind,
        subject: str,
        data: dict[str, Any],
        at: datetime,
        trace: Trace,
    ) -> Notification | None:
        """Add a notification at the end of the user's feed; None where this event has one there already."""
        values: dict[str, Any] = {
            "user_id": user_id,
            "event_id": event_id,
            "kind": kind,
            "subject": subject,
            "data": data,
            "created_at": at.astimezone(UTC),
            "traceparent": trace.traceparent,
            "tracestate": trace.tracestate,
            "baggage": trace.baggage,
        }
        seq = await self._repository.append(**values)
        return Notification(seq=seq, **values) if seq else None

    async def after(self, user_id: UUID, *, seq: int, limit: int) -> NotificationPage:
        """At most `limit` notifications after `seq`, oldest first."""
        state = await self._state(user_id)
        return _page(state, await self._repository.after(user_id, seq=seq, head=state.head, limit=limit))

    async def latest(self, user_id: UUID, *, limit: int) -> NotificationPage:
        """The `limit` latest, newest first."""
        state = await self._state(user_id)
        return _page(state, await self._repository.latest(user_id, head=state.head, limit=limit))

    async def about(self, user_id: UUID, *, subject: str, limit: int) -> NotificationPage:
        """At most `limit` notifications about `subject`, oldest first."""
        state = await self._state(user_id)
        return _page(state, await self._repository.about(user_id, subject=subject, head=state.head, limit=limit))

    async def mark_read(self, user_id: UUID, *, up_to: int) -> ReadMark:
        """Move the read mark forward to `up_to`: never back, never beyond the head."""
        moved = await self._repository.advance_read(user_id, up_to=up_to)
        return ReadMark(state=moved or await self._state(user_id), moved=moved is not None)

    async def _state(self, user_id: UUID) -> FeedState:
        return (await self._repository.states([user_id]))[user_id]


def _page(state: FeedState, rows: Sequence[Notification]) -> NotificationPage:
    return NotificationPage(items=[NotificationOut.of(row) for row in rows], head=state.head, read_seq=state.read_seq)
