"""The frames of the WebSocket, as JSON text. `t` is their type. C: sent by the client, S: sent by the server."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from notifications.errors import CloseCode, WebSocketRejectedError
from notifications.models import Notification
from notifications.schemas import Seq

RoomName = Annotated[str, StringConstraints(pattern=r"^product:[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
"""`product:` and a SKU. A name that matches the pattern needs no escaping in JSON."""


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True)

    def encode(self) -> str:
        """Return JSON without members that are None."""
        return self.model_dump_json(exclude_none=True)


class _ClientFrame(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Hello(_ClientFrame):
    """C: the first frame. `cursor` is the last seq that this device received, or 0."""

    t: Literal["hello"]
    v: Literal[1]
    ticket: str = Field(min_length=1, max_length=100)
    cursor: Seq = 0


class Pong(_ClientFrame):
    """C: the response to a ping. `cursor` is the last seq that this device received."""

    t: Literal["pong"]
    cursor: Seq


class Read(_ClientFrame):
    """C: the user has read everything up to and including `up_to`."""

    t: Literal["read"]
    up_to: Seq


class Join(_ClientFrame):
    """C: become a member of a room. A repeated join changes nothing and gets the same response as the first."""

    t: Literal["join"]
    room: RoomName


class Leave(_ClientFrame):
    """C: leave a room. The server acknowledges the frame also if the client is not a member."""

    t: Literal["leave"]
    room: RoomName


class Welcome(_Frame):
    """S: the first frame. Unless `recovered`, page over REST from your cursor to `head`. Newer notifications follow.

    `ping_s` is the heartbeat interval in seconds.
    """

    t: Literal["welcome"] = "welcome"
    head: int
    read_seq: int
    recovered: bool
    ping_s: float


class NotificationFrame(_Frame):
    """S: a notification. `seq` is one more than in the notification before. Redis has it in the same format.

    `traceparent`, `tracestate` and `baggage` (W3C) are those of the delivery's span. In a published or cached frame
    they are those of the span that consumed the event.
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
    def from_row(cls, row: Notification) -> Self:
        """Return the frame of a row."""
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
    """S: respond with a pong. Missing notifications up to `head` will follow. `read_seq` replaces a lost read frame."""

    t: Literal["ping"] = "ping"
    head: int
    read_seq: int


class ReadMoved(_Frame):
    """S: the user has read up to `read_seq` on some device. It never decreases, so ignore a smaller value."""

    t: Literal["read"] = "read"
    read_seq: int


class Drain(_Frame):
    """S: this process ends and will close the socket with 1012. Reconnect after `retry_ms` milliseconds."""

    t: Literal["drain"] = "drain"
    retry_ms: int


class Joined(_Frame):
    """S: the room's frames follow. Read its present state over HTTP.

    Sent again after a new connection to Redis, because frames may have been lost.
    """

    t: Literal["joined"] = "joined"
    room: str


class JoinRejected(_Frame):
    """S: the client is not a member of the room. After `rooms_per_connection`, leave another room first."""

    t: Literal["join_rejected"] = "join_rejected"
    room: str
    reason: Literal["rooms_per_connection", "rooms_per_process", "members_per_room"]


class Left(_Frame):
    """S: no further frames of this room follow."""

    t: Literal["left"] = "left"
    room: str


class Stock(_Frame):
    """S: the available units of the room's product. A larger `version` is newer. May be lost."""

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
"""The frames of a room's channel. Each replaces the previous one of its type."""

ServerFrame = Welcome | NotificationFrame | Ping | ReadMoved | Drain | Joined | JoinRejected | Left | Stock | Viewers

UserFrame = NotificationFrame | ReadMoved
"""The frames of a user's channel."""

ClientFrame = Hello | Pong | Read | Join | Leave

_client_frame: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="t")])
_user_frame: TypeAdapter[UserFrame] = TypeAdapter(Annotated[UserFrame, Field(discriminator="t")])
_room_frame: TypeAdapter[RoomFrame] = TypeAdapter(Annotated[RoomFrame, Field(discriminator="t")])


def parse_client_frame(text: str | None) -> ClientFrame:
    """Return the frame of a text message. Raises WebSocketRejectedError for an invalid one, and for None (binary)."""
    try:
        return _client_frame.validate_json(text or "")
    except ValidationError as error:
        raise WebSocketRejectedError(CloseCode.UNAUTHORIZED, "the frame is invalid") from error


def parse_user_frame(body: bytes) -> UserFrame:
    """Return a frame that was published to a user. Raises pydantic's ValidationError if it is invalid."""
    return _user_frame.validate_json(body)


def parse_room_frame(body: bytes) -> RoomFrame:
    """Return a frame that was published to a room. Raises pydantic's ValidationError if it is invalid."""
    return _room_frame.validate_json(body)
