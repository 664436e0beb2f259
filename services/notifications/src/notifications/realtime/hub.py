"""Which devices of which user this process serves."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from notifications.errors import CloseCode, SocketRefused
from notifications.realtime import metrics
from notifications.realtime.frames import NotificationFrame, ReadMoved, published_frame
from notifications.realtime.publisher import channel, user_of
from notifications.realtime.session import Session
from notifications.schemas import FeedState


class UserSessions:
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
        self.users: dict[UUID, UserSessions] = {}
        self.draining = False

    def __iter__(self) -> Iterator[Session]:
        return (session for user in self.users.values() for session in user.sessions)

    def join(self, session: Session) -> UserSessions:
        """Add a session of its user; raises SocketRefused if that would be too many, or while draining."""
        user = self.users.get(session.user_id)
        if self.draining:
            raise SocketRefused(CloseCode.RESTARTING, "this process is draining")
        if self._count >= self._in_all or (user and len(user.sessions) >= self._per_user):
            raise SocketRefused(CloseCode.TOO_MANY_CONNECTIONS, "too many connections")
        if user is None:
            user = self.users[session.user_id] = UserSessions()
        user.sessions.append(session)
        self._count += 1
        metrics.open_sockets.add(1)
        return user

    def leave(self, session: Session) -> bool:
        """Remove a session; whether it was the last of its user."""
        user = self.users[session.user_id]
        user.sessions.remove(session)
        self._count -= 1
        metrics.open_sockets.add(-1)
        if user.sessions:
            return False
        del self.users[session.user_id]
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
        user = self.users.get(user_id)
        return user.sessions if user else []


class FeedChannels:
    """The channels of the connected users, for the subscriber.

    `recheck` is called with the user's id for each subscription that begins: what was published before may be lost.
    """

    def __init__(self, *, hub: Hub, recheck: Callable[[UUID], None]) -> None:
        self._hub = hub
        self._recheck = recheck

    def channels(self) -> Iterable[str]:
        """Return one channel for each user who is connected."""
        return [channel(user_id) for user_id in self._hub.users]

    def subscribed(self, name: str) -> None:
        """Record that the user's notifications arrive from now on, and compare heads."""
        user_id = user_of(name)
        if (user := self._hub.users.get(user_id)) is not None:
            user.subscribed = True
            self._recheck(user_id)

    def unsubscribed(self, name: str | None) -> None:
        """Record that the connection is lost; one channel alone is unsubscribed only after its user has gone."""
        if name is None:
            for user in self._hub.users.values():
                user.subscribed = False

    def received(self, name: str, body: bytes) -> None:
        """Deliver a published frame to the user's sessions; raises pydantic's ValidationError if it is invalid."""
        self._hub.deliver(user_of(name), published_frame(body), size=len(body))
