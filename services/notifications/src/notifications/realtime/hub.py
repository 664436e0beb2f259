"""The sessions of this process, by user."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

from notifications.errors import CloseCode, WebSocketRejectedError
from notifications.realtime import metrics
from notifications.realtime.frames import NotificationFrame, UserFrame, parse_user_frame
from notifications.realtime.publisher import parse_user_channel, user_channel
from notifications.realtime.session import Session
from notifications.schemas import FeedState


class UserSessions:
    """The sessions of one user in this process. They share one subscription."""

    __slots__ = ("_acknowledged", "sessions")

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._acknowledged = asyncio.get_running_loop().create_future()  # an Event would take 800 bytes

    @property
    def subscribed(self) -> bool:
        """Whether the user's channel is subscribed."""
        return self._acknowledged.done()

    @subscribed.setter
    def subscribed(self, subscribed: bool) -> None:
        if subscribed and not self.subscribed:
            self._acknowledged.set_result(None)
        elif not subscribed and self.subscribed:
            self._acknowledged = asyncio.get_running_loop().create_future()

    async def wait_until_subscribed(self, *, timeout_s: float) -> bool:
        """Wait at most `timeout_s` seconds for the subscription, and return whether it exists."""
        await asyncio.wait([self._acknowledged], timeout=timeout_s)
        return self.subscribed


class Hub:
    """The sessions of this process, by user. `per_user` and `per_process` limit their number."""

    def __init__(self, *, per_user: int, per_process: int) -> None:
        self._per_user = per_user
        self._per_process = per_process
        self._count = 0
        self.users: dict[UUID, UserSessions] = {}
        self.draining = False

    def __iter__(self) -> Iterator[Session]:
        return (session for user in self.users.values() for session in user.sessions)

    def join(self, session: Session) -> UserSessions:
        """Add a session. Raises WebSocketRejectedError if a limit is reached or the process is draining."""
        user = self.users.get(session.user_id)
        if self.draining:
            raise WebSocketRejectedError(CloseCode.RESTARTING, "this process is draining")
        if self._count >= self._per_process or (user and len(user.sessions) >= self._per_user):
            raise WebSocketRejectedError(CloseCode.TOO_MANY_CONNECTIONS, "too many connections")
        if user is None:
            user = self.users[session.user_id] = UserSessions()
        user.sessions.append(session)
        self._count += 1
        metrics.open_sockets.add(1)
        return user

    def leave(self, session: Session) -> bool:
        """Remove a session and return whether it was the last of its user."""
        user = self.users[session.user_id]
        user.sessions.remove(session)
        self._count -= 1
        metrics.open_sockets.add(-1)
        if user.sessions:
            return False
        del self.users[session.user_id]
        return True

    def deliver(self, user_id: UUID, frame: UserFrame, *, size: int) -> None:
        """Pass a published frame of `size` bytes to the user's sessions."""
        for session in self._get_sessions(user_id):
            if isinstance(frame, NotificationFrame):
                session.deliver(frame, size=size)
            else:
                session.send_read_mark(frame)

    def update_feed_state(self, user_id: UUID, state: FeedState) -> None:
        """Pass the state of the feed to the user's sessions."""
        for session in self._get_sessions(user_id):
            session.update_feed_state(state)

    def _get_sessions(self, user_id: UUID) -> list[Session]:
        user = self.users.get(user_id)
        return user.sessions if user else []


class FeedChannels:
    """The channels of the connected users, for the subscriber.

    `recheck` is called with the user's id for each new subscription, because earlier messages may be lost.
    """

    def __init__(self, *, hub: Hub, recheck: Callable[[UUID], None]) -> None:
        self._hub = hub
        self._recheck = recheck

    def list_channels(self) -> Iterable[str]:
        """Return the channel of each connected user."""
        return [user_channel(user_id) for user_id in self._hub.users]

    def on_subscribed(self, name: str) -> None:
        """Record the subscription of a user's channel, and compare heads."""
        user_id = parse_user_channel(name)
        if (user := self._hub.users.get(user_id)) is not None:
            user.subscribed = True
            self._recheck(user_id)

    def on_unsubscribed(self, name: str | None) -> None:
        """Record that the connection is lost. A single channel is unsubscribed only after its user has left."""
        if name is None:
            for user in self._hub.users.values():
                user.subscribed = False

    def on_message(self, name: str, body: bytes) -> None:
        """Deliver a published frame to the user's sessions. Raises pydantic's ValidationError if it is invalid."""
        self._hub.deliver(parse_user_channel(name), parse_user_frame(body), size=len(body))
