"""Every frame of the WebSocket, as JSON text; `t` tells them apart. C: sent by the client, S: by the server."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from notifications.errors import CloseCode, SocketRefused
from notifications.models import Notification
from notifications.schemas import Seq

VERSION = 1

RoomName = Annotated[str, StringConstraints(pattern=r"^product:[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
"""`product:` and a sku. Names that the pattern admits need no escaping in JSON."""


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


class Join(_ClientFrame):
    """C: become a member of a room. Joining again changes nothing and is acknowledged again."""

    t: Literal["join"]
    room: RoomName


class Leave(_ClientFrame):
    """C: leave a room. Leaving a room without being a member of it is acknowledged as well."""

    t: Literal["leave"]
    room: RoomName


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


class Joined(_Frame):
    """S: the room's frames arrive from now on: read its present state over HTTP.

    Sent again when messages may have been lost, that is after a new connection to Redis.
    """

    t: Literal["joined"] = "joined"
    room: str


class JoinRejected(_Frame):
    """S: the client is not a member of the room. `rooms_per_connection` remains until it leaves another room."""

    t: Literal["join_rejected"] = "join_rejected"
    room: str
    reason: Literal["rooms_per_connection", "rooms_per_process", "members_per_room"]


class Left(_Frame):
    """S: no more frames of this room follow."""

    t: Literal["left"] = "left"
    room: str


class Stock(_Frame):
    """S: another number of units of the room's product can be ordered; a larger `version` is newer. May be lost."""

    t: Literal["stock"] = "stock"
    room: str
    available: int
    version: int


class Viewers(_Frame):
    """S: the number of sockets in the room, over all processes."""

    t: Literal["viewers"] = "viewers"
    room: str
    viewers: int


RoomFrame = Stock | Viewers
"""What a room's channel carries. Each replaces the one before it of the same type."""

ServerFrame = Welcome | NotificationFrame | Ping | ReadMoved | Drain | Joined | JoinRejected | Left | Stock | Viewers

Published = Annotated[NotificationFrame | ReadMoved, Field(discriminator="t")]
"""What a user's channel carries."""

ClientFrame = Hello | Pong | Read | Join | Leave

_client_frame: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="t")])
_published: TypeAdapter[NotificationFrame | ReadMoved] = TypeAdapter(Published)
_room_frame: TypeAdapter[RoomFrame] = TypeAdapter(Annotated[RoomFrame, Field(discriminator="t")])


def client_frame(text: str | None) -> ClientFrame:
    """Read what a client sent (None for a binary message); raises SocketRefused where it is no frame of ours."""
    try:
        return _client_frame.validate_json(text or "")
    except ValidationError as error:
        raise SocketRefused(CloseCode.UNAUTHORIZED, "not a frame of this protocol") from error


def published_frame(body: bytes) -> NotificationFrame | ReadMoved:
    """Read what was published; raises pydantic's ValidationError on anything else."""
    return _published.validate_json(body)


def room_frame(body: bytes) -> RoomFrame:
    """Read what was published to a room; raises pydantic's ValidationError on anything else."""
    return _room_frame.validate_json(body)
