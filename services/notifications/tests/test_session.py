"""The frames of one session: the welcome is the first, and nothing follows a close."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from notifications.errors import CloseCode
from notifications.realtime.frames import NotificationFrame, ReadMoved, Stock, Viewers
from notifications.realtime.history import History
from notifications.realtime.rooms import Room
from notifications.realtime.session import NEVER, Session
from notifications.schemas import FeedState
from notifications.settings import Settings
from testkit.spans import Spans
from testkit.waiting import eventually

USER = uuid4()
FEED_LENGTH = 10
SETTINGS = Settings.model_validate(
    {
        "environment": "test",
        "database_url": "postgresql://nobody@localhost/none",
        "redis_url": "redis://localhost",
        "jwks_url": "http://localhost",
    }
)


class FakeHistory(History):
    """A feed of `FEED_LENGTH` notifications."""

    def __init__(self) -> None:
        pass

    async def list_after(self, user_id: UUID, seq: int) -> Sequence[NotificationFrame]:
        return [
            NotificationFrame.model_validate(
                {"seq": number, "id": user_id, "kind": "announcement", "data": {}, "at": "2026-11-23T00:00:00Z"}
            )
            for number in range(seq + 1, FEED_LENGTH + 1)
        ]


class FakeClient:
    """The client of a socket: the frames and the close code that it has received."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.max_frames: float = float("inf")
        """The client disconnects after this number of frames."""

    async def connect(self) -> Session:
        """Accept the socket and return its session, which has not sent the welcome."""
        websocket = WebSocket({"type": "websocket"}, self._receive, self._send)
        await websocket.accept()
        return Session(
            user_id=USER, websocket=websocket, history=FakeHistory(), settings=SETTINGS, recheck=lambda _: None
        )

    async def _receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.send":
            if len(self.frames) == self.max_frames:
                raise ConnectionResetError
            self.frames.append(orjson.loads(message["text"]))
        if message["type"] == "websocket.close":
            self.close_code = message["code"]


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


def send_welcome(session: Session, *, head: int = 0, read_seq: int = 0) -> None:
    session.welcome(FeedState(head=head, read_seq=read_seq), cursor=0, ping_s=15, ping_at=1)


class TestWelcome:
    async def test_socket_is_closed_without_a_frame_when_the_drain_precedes_the_welcome(
        self, client: FakeClient
    ) -> None:
        session = await client.connect()
        session.drain(retry_ms=1)
        send_welcome(session)
        await eventually(lambda: client.close_code)
        assert (client.close_code, client.frames) == (CloseCode.RESTARTING, [])
        assert (session.open, session.ping_at) == (False, NEVER)

    async def test_ping_has_the_newest_read_mark_when_it_is_newer_than_the_welcome(self, client: FakeClient) -> None:
        session = await client.connect()
        session.send_read_mark(ReadMoved(read_seq=3))
        session.update_feed_state(FeedState(head=0, read_seq=2))
        send_welcome(session, read_seq=1)
        session.ping(next_at=2)
        await eventually(lambda: len(client.frames) == 2)
        assert [(frame["t"], frame["read_seq"]) for frame in client.frames] == [("welcome", 1), ("ping", 3)]


class TestRoomFrames:
    async def test_pending_frames_are_dropped_when_the_room_is_subscribed_again(self, client: FakeClient) -> None:
        session, room = await client.connect(), Room("product:mug")
        send_welcome(session)
        room.members.add(session)
        room.deliver(Viewers(room=room.name, viewers=2))  # waits for the writer of the socket
        room.deliver(Viewers(room=room.name, viewers=3))  # waits for the next delivery
        room.acknowledge()
        room.deliver(Stock(room=room.name, available=7, version=1))
        await eventually(lambda: "stock" in {frame["t"] for frame in client.frames})
        assert [frame["t"] for frame in client.frames] == ["welcome", "joined", "stock"]


class TestDisconnect:
    async def test_delivery_is_tried_once_when_the_client_has_disconnected(
        self, client: FakeClient, spans: Spans
    ) -> None:
        session = await client.connect()
        client.max_frames = 1  # the welcome
        send_welcome(session, head=FEED_LENGTH)
        await eventually(lambda: spans.named("send notification"))
        assert len(spans.named("send notification")) == 1
