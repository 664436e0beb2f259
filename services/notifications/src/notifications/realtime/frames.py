"""Every frame of the WebSocket, as JSON text; `t` tells them apart. C: sent by the client, S: by the server."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from notifications.errors import CloseCode, SocketRefused
from notifications.models import Notification
from notifications.schemas import Seq

VERSION = 1


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True)

    def encode(self) -> str:
        """JSON without absent members."""
        return self.model_dump_json(exclude_none=True)


class _ClientFrame(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Hello(_ClientFrame):
    """C: the first frame. `cursor` is the last seq this device has seen, 0 for none."""

    t: Literal["hello"]
    v: Literal[1]
    ticket: str = Field(min_length=1, max_length=100)
    cursor: Seq = 0


class Pong(_ClientFrame):
    """C: the answer to a ping; `cursor` is the last seq this device has seen by now."""

    t: Literal["pong"]
    cursor: Seq


class Read(_ClientFrame):
    """C: the user has read everything up to and including `up_to`."""

    t: Literal["read"]
    up_to: Seq


class Welcome(_Frame):
    """S: the first frame. Unless `recovered`, page over REST from your cursor to `head`; what is newer follows here."""

    t: Literal["welcome"] = "welcome"
    head: int
    read_seq: int
    recovered: bool
    ping_s: float


class NotificationFrame(_Frame):
    """S: a notification; `seq` is one more than the last. The same shape is published and cached.

    `traceparent`, `tracestate` and `baggage` (W3C) are those of the span that delivers it; published and cached,
    those of the span that consumed the event.
    """

    t: Literal["n"] = "n"
    seq: int
    id: UUID
    kind: str
    data: dict[str, Any]
    at: datetime
    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    @classmethod
    def of(cls, row: Notification) -> Self:
        """As stored."""
        return cls(
            seq=row.seq,
            id=row.event_id,
            kind=row.kind,
            data=row.data,
            at=row.created_at,
            traceparent=row.traceparent,
            tracestate=row.tracestate,
            baggage=row.baggage,
        )


class Ping(_Frame):
    """S: answer with a pong. A `head` above your cursor will follow; `read_seq` heals a lost read frame."""

    t: Literal["ping"] = "ping"
    head: int
    read_seq: int


class ReadMoved(_Frame):
    """S: the user has read up to `read_seq`, on whichever device. It only grows: ignore a smaller one."""

    t: Literal["read"] = "read"
    read_seq: int


class Drain(_Frame):
    """S: this process is about to end; the socket will close with 1012. Come back after `retry_ms` milliseconds."""

    t: Literal["drain"] = "drain"
    retry_ms: int


ServerFrame = Welcome | NotificationFrame | Ping | ReadMoved | Drain

Published = Annotated[NotificationFrame | ReadMoved, Field(discriminator="t")]
"""What a user's channel carries."""

_client_frame: TypeAdapter[Hello | Pong | Read] = TypeAdapter(Annotated[Hello | Pong | Read, Field(discriminator="t")])
_published: TypeAdapter[NotificationFrame | ReadMoved] = TypeAdapter(Published)


def client_frame(text: str | None) -> Hello | Pong | Read:
    """Read what a client sent (None for a binary message); raises SocketRefused where it is no frame of ours."""
    try:
        return _client_frame.validate_json(text or "")
    except ValidationError as error:
        raise SocketRefused(CloseCode.UNAUTHORIZED, "not a frame of this protocol") from error


def published_frame(body: bytes) -> NotificationFrame | ReadMoved:
    """Read what was published; raises pydantic's ValidationError on anything else."""
    return _published.validate_json(body)
