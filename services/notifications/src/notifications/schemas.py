"""Wire shapes of the REST interface; those of the WebSocket are in `realtime.frames`."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, StrictInt

from notifications.models import Notification
from shared.openapi import without_maximum

LARGEST_SEQ = 2**63 - 1

POSITION = "Position in the caller's feed: 1, 2, 3… without a gap"

Seq = Annotated[StrictInt, Field(ge=0, le=LARGEST_SEQ, description=POSITION, json_schema_extra=without_maximum)]
"""A position that a client sends; 0 is before the first."""

StoredSeq = Annotated[int, Field(description=POSITION, json_schema_extra={"minimum": 0})]


class FeedState(BaseModel):
    """How long a feed is, and how far it was read: `head - read_seq` are unread."""

    head: StoredSeq
    read_seq: StoredSeq


class NotificationOut(BaseModel):
    """One notification; `data` has `order_id` if it is about an order, `report_id` if it is about a report."""

    seq: StoredSeq
    id: UUID
    kind: str = Field(examples=["order.placed"])
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: Notification) -> Self:
        """As stored."""
        return cls(seq=row.seq, id=row.event_id, kind=row.kind, data=row.data, created_at=row.created_at)


class NotificationPage(FeedState):
    """Some notifications, oldest first, and the state of the feed; go on from the last until it is `head`."""

    items: list[NotificationOut]


class NotificationDigest(BaseModel):
    """What a corner of a page shows: the number of unread notifications and the newest, newest first."""

    unread: int
    latest: list[NotificationOut] = Field(description="Newest first")


class ReadMark(BaseModel):
    """Up to and including which notification the user has read."""

    up_to: Seq


class TicketOut(BaseModel):
    """Connect to `url` within `expires_in` seconds and send the ticket in the first frame; it works once."""

    ticket: str
    expires_in: int = Field(description="Seconds")
    url: str = Field(examples=["ws://localhost:8003/ws"])
