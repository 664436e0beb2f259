"""Wire shapes of the REST interface; those of the WebSocket are in `realtime.frames`."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, Field

from notifications.models import Notification

LARGEST_SEQ = 2**63 - 1

Seq = Annotated[int, Field(ge=0, le=LARGEST_SEQ)]
"""A position in a user's feed: 1, 2, 3… without a gap; 0 is before the first."""


class FeedState(BaseModel):
    """How long a feed is, and how far it was read: `head - read_seq` are unread."""

    head: int
    read_seq: int


class NotificationOut(BaseModel):
    """One notification."""

    seq: int
    id: UUID
    kind: str
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: Notification) -> Self:
        """As stored."""
        return cls(seq=row.seq, id=row.event_id, kind=row.kind, data=row.data, created_at=row.created_at)


class FeedPage(FeedState):
    """Some notifications of a feed, and its state at the time."""

    items: list[NotificationOut]


class FeedDigest(BaseModel):
    """What a corner of a page shows: the number of unread notifications and the newest, newest first."""

    unread: int
    latest: list[NotificationOut]


class ReadUpTo(BaseModel):
    """Up to and including which notification the user has read."""

    up_to: Seq


class TicketOut(BaseModel):
    """Connect to `url` within `expires_in` seconds and send the ticket in the first frame; it works once."""

    ticket: str
    expires_in: int
    url: str
