"""Wire shapes of the REST interface. Those of the WebSocket are in `realtime.frames`."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, StrictInt

from notifications import models
from shared.web.openapi import without_maximum

MAX_SEQ = 2**63 - 1

POSITION = "Position in the caller's feed: 1, 2, 3… without a gap"

Seq = Annotated[StrictInt, Field(ge=0, le=MAX_SEQ, description=POSITION, json_schema_extra=without_maximum)]
"""A position that a client sends. 0 is before the first notification."""

StoredSeq = Annotated[int, Field(description=POSITION, json_schema_extra={"minimum": 0})]


class FeedState(BaseModel):
    """The length of a feed and its read mark: `head - read_seq` notifications are unread."""

    head: StoredSeq
    read_seq: StoredSeq


class Notification(BaseModel):
    """A notification. `data` has `order_id` if it is about an order, and `report_id` if it is about a report."""

    seq: StoredSeq
    id: UUID
    kind: str = Field(examples=["order.placed"])
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def from_row(cls, row: models.Notification) -> Self:
        """Return the notification of a row."""
        return cls(seq=row.seq, id=row.event_id, kind=row.kind, data=row.data, created_at=row.created_at)


class NotificationPage(FeedState):
    """One page of notifications, oldest first, and the state of the feed. The last page ends at `head`."""

    items: list[Notification]


class NotificationDigest(BaseModel):
    """The number of unread notifications, and the newest notifications."""

    unread: int
    latest: list[Notification] = Field(description="Newest first")


class ReadMark(BaseModel):
    """The position up to which the user has read, included."""

    up_to: Seq


class Ticket(BaseModel):
    """A ticket for one WebSocket. Connect to `url` within `expires_in` seconds and send it in the first frame."""

    ticket: str
    expires_in: int = Field(description="Seconds")
    url: str = Field(examples=["ws://localhost:8003/ws"])
