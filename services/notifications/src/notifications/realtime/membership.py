"""Joining and leaving rooms, with the subscriptions of the rooms."""

import structlog

from notifications.realtime import metrics
from notifications.realtime.frames import Joined, Left
from notifications.realtime.publisher import room_channel
from notifications.realtime.rooms import JoinRejectedError, Rooms
from notifications.realtime.session import Session
from notifications.realtime.subscriber import Subscriber

log = structlog.get_logger(__name__)


class Membership:
    """Keeps one subscription for each room with a member in this process."""

    def __init__(self, *, rooms: Rooms, subscriber: Subscriber) -> None:
        self._rooms = rooms
        self._subscriber = subscriber

    async def join(self, session: Session, name: str) -> None:
        """Make the session a member. It receives `joined` when the room is subscribed, or `join_rejected`.

        If Redis is unavailable, `joined` follows when Redis is back.
        """
        try:
            room = self._rooms.join(session, name)
        except JoinRejectedError as rejected:
            metrics.room_joins.add(1, {"hopline.room.join.outcome": rejected.frame.reason})
            log.info("room_join_rejected", user_id=session.user_id, room=name, reason=rejected.frame.reason)
            session.send(rejected.frame)
            return
        metrics.room_joins.add(1, {"hopline.room.join.outcome": "joined"})
        if room.subscribed:
            session.send(Joined(room=name))
            for frame in room.latest.values():
                session.send_room_frame(frame)
        elif len(room.members) == 1:  # further members wait for the same subscription
            await self._subscriber.subscribe(room_channel(name))

    async def leave(self, session: Session, name: str) -> None:
        """End the membership of a room, if the session is a member."""
        empty = self._rooms.leave(session, name)
        session.send(Left(room=name))
        await self.release(empty)

    def leave_all(self, session: Session) -> list[str]:
        """End all memberships of a session that closes. Pass the returned rooms to `release`."""
        return self._rooms.leave(session, *session.rooms)

    async def release(self, rooms: list[str]) -> None:
        """Unsubscribe from rooms that have no members."""
        await self._subscriber.unsubscribe(*(room_channel(name) for name in rooms if self._rooms.get(name) is None))
