"""Which devices of which user this process serves."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

from notifications.errors import CloseCode, SocketRefused
from notifications.realtime import metrics
from notifications.realtime.frames import NotificationFrame, ReadMoved
from notifications.realtime.session import Session
from notifications.schemas import FeedState


class Room:
    """One user's sessions in this process; they share one subscription."""

    __slots__ = ("_acknowledged", "sessions")

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._acknowledged = asyncio.get_running_loop().create_future()  # an Event would take 800 bytes

    @property
    def subscribed(self) -> bool:
        """Whether the subscription stands: what is published now arrives."""
        return self._acknowledged.done()

    @subscribed.setter
    def subscribed(self, stands: bool) -> None:
        if stands and not self.subscribed:
            self._acknowledged.set_result(None)
        elif not stands and self.subscribed:
            self._acknowledged = asyncio.get_running_loop().create_future()

    async def becomes_subscribed(self, *, within_s: float) -> bool:
        """Wait for the subscription to stand; whether it does."""
        await asyncio.wait([self._acknowledged], timeout=within_s)
        return self.subscribed


class Hub:
    """The sessions of this process by user; `per_user` and `in_all` bound them."""

    def __init__(self, *, per_user: int, in_all: int) -> None:
        self._per_user = per_user
        self._in_all = in_all
        self._count = 0
        self.rooms: dict[UUID, Room] = {}
        self.draining = False

    def __iter__(self) -> Iterator[Session]:
        return (session for room in self.rooms.values() for session in room.sessions)

    def join(self, session: Session) -> Room:
        """Add a session to its user's room; raises SocketRefused where that would be too many, or while draining."""
        room = self.rooms.get(session.user_id)
        if self.draining:
            raise SocketRefused(CloseCode.RESTARTING, "this process is draining")
        if self._count >= self._in_all or (room and len(room.sessions) >= self._per_user):
            raise SocketRefused(CloseCode.TOO_MANY_CONNECTIONS, "too many connections")
        if room is None:
            room = self.rooms[session.user_id] = Room()
        room.sessions.append(session)
        self._count += 1
        metrics.open_sockets.add(1)
        return room

    def leave(self, session: Session) -> bool:
        """Take a session out of its room; whether it was the last and the room is gone."""
        room = self.rooms[session.user_id]
        room.sessions.remove(session)
        self._count -= 1
        metrics.open_sockets.add(-1)
        if room.sessions:
            return False
        del self.rooms[session.user_id]
        return True

    def deliver(self, user_id: UUID, frame: NotificationFrame | ReadMoved, *, size: int) -> None:
        """Hand a published frame, `size` bytes long, to the user's sessions."""
        for session in self._of(user_id):
            if isinstance(frame, NotificationFrame):
                session.offer(frame, size=size)
            else:
                session.read_moved(frame)

    def heard(self, user_id: UUID, state: FeedState) -> None:
        """Tell the user's sessions how long the feed is."""
        for session in self._of(user_id):
            session.heard(state)

    def _of(self, user_id: UUID) -> list[Session]:
        room = self.rooms.get(user_id)
        return room.sessions if room else []
