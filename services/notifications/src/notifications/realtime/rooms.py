"""Ephemeral rooms: what happens to a product now, for every socket that joined, at most once.

Rooms share nothing with feeds but the socket. Nothing is stored: a message that is lost stays lost. Only the latest
state of a room matters, so a newer frame replaces an older one that was not delivered yet.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from notifications.realtime import metrics
from notifications.realtime.frames import Joined, JoinRejected, RoomFrame, Stock, Viewers, room_frame
from notifications.realtime.publisher import room_channel, room_of
from notifications.realtime.session import Session

DELIVERY_INTERVAL_S: Final = 0.1
"""A room delivers to its members at most so often, however often its product is ordered."""

MAX_FRAME_BYTES: Final = 1024


class JoinRejectedError(Exception):
    """A limit is reached; `frame` says which."""

    def __init__(self, frame: JoinRejected) -> None:
        super().__init__(frame.reason)
        self.frame = frame


class Room:
    """The members of one room in this process; they share one subscription."""

    __slots__ = ("_timer", "_undelivered", "latest", "members", "name", "subscribed")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: set[Session] = set()
        self.subscribed = False
        self.latest: dict[str, RoomFrame] = {}
        self._undelivered: dict[str, RoomFrame] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def viewers(self) -> int:
        """The number of sockets in the room over all processes, as last published; 0 if unknown."""
        viewers = self.latest.get("viewers")
        return viewers.viewers if isinstance(viewers, Viewers) else 0

    def acknowledge(self) -> None:
        """The subscription begins: what was received before it may be outdated."""
        self.subscribed = True
        self.latest.clear()
        for member in self.members:
            member.send(Joined(room=self.name))

    def offer(self, frame: RoomFrame) -> None:
        """Deliver a frame now, or with the next delivery. Consumers may publish stock levels in the wrong order."""
        known = self.latest.get(frame.t)
        if isinstance(frame, Stock) and isinstance(known, Stock) and frame.version <= known.version:
            return
        self.latest[frame.t] = self._undelivered[frame.t] = frame
        if self._timer is None:
            self._deliver()

    def close(self) -> None:
        """Deliver nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _deliver(self) -> None:
        self._timer = None
        if not self._undelivered:
            return
        for frame in self._undelivered.values():
            for member in self.members:
                member.show(frame)
        self._undelivered = {}
        self._timer = asyncio.get_running_loop().call_later(DELIVERY_INTERVAL_S, self._deliver)


class Rooms:
    """The rooms of this process; `per_connection`, `per_process` and `members` bound them.

    It is what the rooms' subscriber subscribes to. `changed` collects rooms whose number of members has to be reported.
    """

    def __init__(self, *, per_connection: int, per_process: int, members: int) -> None:
        self._per_connection = per_connection
        self._per_process = per_process
        self._members = members
        self._rooms: dict[str, Room] = {}
        self.changed: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._rooms)

    def get(self, name: str) -> Room | None:
        """Return the room, or None if no socket of this process is in it."""
        return self._rooms.get(name)

    def join(self, session: Session, name: str) -> Room:
        """Make the session a member of the room and return it; raises JoinRejectedError if a limit is reached."""
        room = self._rooms.get(name)
        if room and session in room.members:
            return room
        if len(session.rooms) >= self._per_connection:
            raise JoinRejectedError(JoinRejected(room=name, reason="rooms_per_connection"))
        if room is None:
            if len(self._rooms) >= self._per_process:
                raise JoinRejectedError(JoinRejected(room=name, reason="rooms_per_process"))
            room = self._rooms[name] = Room(name)
            metrics.open_rooms.add(1)
        elif len(room.members) >= self._members:
            raise JoinRejectedError(JoinRejected(room=name, reason="members_per_room"))
        room.members.add(session)
        session.rooms = (*session.rooms, name)
        metrics.room_members.add(1)
        self.changed.add(name)
        return room

    def leave(self, session: Session, *names: str) -> list[str]:
        """End memberships of the session, if it has them; return the rooms that have no member in this process now."""
        empty = []
        for name in names:
            room = self._rooms.get(name)
            if room is None or session not in room.members:
                continue
            room.members.remove(session)
            session.rooms = tuple(other for other in session.rooms if other != name)
            session.hide(name)
            metrics.room_members.add(-1)
            self.changed.add(name)
            if not room.members:
                room.close()
                del self._rooms[name]
                metrics.open_rooms.add(-1)
                empty.append(name)
        return empty

    def channels(self) -> Iterable[str]:
        """Return one channel for each room."""
        return [room_channel(name) for name in self._rooms]

    def subscribed(self, name: str) -> None:
        """Let the room's members know that messages arrive from now on, and report their number again."""
        if (room := self._of(name)) is not None:
            room.acknowledge()
            self.changed.add(room.name)

    def unsubscribed(self, name: str | None) -> None:
        """Record that subscriptions have ended. A room that is joined while its last member leaves subscribes again."""
        for room in self._rooms.values() if name is None else [self._of(name)]:
            if room is not None:
                room.subscribed = False

    def received(self, name: str, body: bytes) -> None:
        """Deliver a published frame to the room's members; raises ValueError if it is invalid."""
        if (room := self._of(name)) is not None:
            if len(body) > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {len(body)} bytes; at most {MAX_FRAME_BYTES} are delivered")
            room.offer(room_frame(body))

    def _of(self, channel: str) -> Room | None:
        return self._rooms.get(room_of(channel))
