"""Adding notifications to feeds, paging through them, and read marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from notifications import models
from notifications.models import NotificationKind
from notifications.repository import FeedRepository
from notifications.schemas import FeedState, Notification, NotificationPage
from shared.messaging import TraceContext


@dataclass(frozen=True, slots=True)
class ReadMarkResult:
    """The state of a feed after it was marked as read, and whether that changed anything."""

    state: FeedState
    changed: bool


class FeedService:
    """Reads and writes feeds in a transaction that the caller commits. No page has items after its `head`."""

    def __init__(self, *, repository: FeedRepository) -> None:
        self._repository = repository

    async def add_notification(
        self,
        *,
        user_id: UUID,
        event_id: UUID,
        kind: NotificationKind,
        subject: str,
        data: dict[str, Any],
        at: datetime,
        trace: TraceContext,
    ) -> models.Notification | None:
        """Append a notification to the user's feed. Return None if the event has a notification already."""
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
        seq = await self._repository.append_notification(**values)
        return models.Notification(seq=seq, **values) if seq else None

    async def list_after(self, user_id: UUID, *, seq: int, limit: int) -> NotificationPage:
        """Return at most `limit` notifications after `seq`, oldest first."""
        state = await self._get_state(user_id)
        return _build_page(state, await self._repository.list_after(user_id, seq=seq, head=state.head, limit=limit))

    async def list_latest(self, user_id: UUID, *, limit: int) -> NotificationPage:
        """Return the `limit` latest notifications, newest first."""
        state = await self._get_state(user_id)
        return _build_page(state, await self._repository.list_latest(user_id, head=state.head, limit=limit))

    async def list_about_subject(self, user_id: UUID, *, subject: str, limit: int) -> NotificationPage:
        """Return at most `limit` notifications about `subject`, oldest first."""
        state = await self._get_state(user_id)
        return _build_page(
            state, await self._repository.list_about_subject(user_id, subject=subject, head=state.head, limit=limit)
        )

    async def mark_read(self, user_id: UUID, *, up_to: int) -> ReadMarkResult:
        """Advance the read mark to `up_to`, at most to the head. It never moves back."""
        advanced = await self._repository.advance_read_mark(user_id, up_to=up_to)
        return ReadMarkResult(state=advanced or await self._get_state(user_id), changed=advanced is not None)

    async def _get_state(self, user_id: UUID) -> FeedState:
        return (await self._repository.get_states([user_id]))[user_id]


def _build_page(state: FeedState, rows: Sequence[models.Notification]) -> NotificationPage:
    return NotificationPage(
        items=[Notification.from_row(row) for row in rows], head=state.head, read_seq=state.read_seq
    )
