"""Ephemeral rooms: the present state of a product for all sockets that have joined, delivered at most once.

Rooms share only the socket with feeds. Frames are not stored and can be lost. Only the latest state of a room matters,
so a newer frame replaces an older one that was not delivered.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from notifications.realtime import metrics
from notifications.realtime.frames import Joined, JoinRejected, RoomFrame, Stock, Viewers, parse_room_frame
from notifications.realtime.publisher import parse_room_channel, room_channel
from notifications.realtime.session import Session

DELIVERY_INTERVAL_S: Final = 0.1
"""Minimum time between two deliveries of a room to its members."""

MAX_FRAME_BYTES: Final = 1024
"""A larger published frame is dropped. The frames of this service have about 100 bytes."""


class JoinRejectedError(Exception):
    """A limit is reached. `frame` has the reason."""

    def __init__(self, frame: JoinRejected) -> None:
        super().__init__(frame.reason)
        self.frame = frame


class Room:
    """The members of one room in this process. They share one subscription."""

    __slots__ = ("_pending", "_timer", "latest", "members", "name", "subscribed")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: set[Session] = set()
        self.subscribed = False
        self.latest: dict[str, RoomFrame] = {}
        self._pending: dict[str, RoomFrame] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def viewers(self) -> int:
        """The number of sockets in the room over all processes, as last published, or 0."""
        viewers = self.latest.get("viewers")
        return viewers.viewers if isinstance(viewers, Viewers) else 0

    def acknowledge(self) -> None:
        """Record a new subscription and send `joined`. Earlier frames are dropped, because they may be outdated."""
        self.subscribed = True
        self.latest.clear()
        self._pending.clear()
        for member in self.members:
            member.drop_room_frames(self.name)
            member.send(Joined(room=self.name))

    def deliver(self, frame: RoomFrame) -> None:
        """Deliver a frame now or with the next delivery. Drop a stock level that is not newer than the last one."""
        known = self.latest.get(frame.t)
        if isinstance(frame, Stock) and isinstance(known, Stock) and frame.version <= known.version:
            return
        self.latest[frame.t] = self._pending[frame.t] = frame
        if self._timer is None:
            self._deliver()

    def close(self) -> None:
        """Cancel the next delivery."""
        if self._timer is not None:
            self._timer.cancel()

    def _deliver(self) -> None:
        self._timer = None
        if not self._pending:
            return
        for frame in self._pending.values():
            for member in self.members:
                member.send_room_frame(frame)
        self._pending = {}
        self._timer = asyncio.get_running_loop().call_later(DELIVERY_INTERVAL_S, self._deliver)


class Rooms:
    """The rooms of this process. `per_connection`, `per_process` and `members` limit them.

    The class implements `Channels` for the subscriber of the rooms. `changed` has the names of the rooms of which
    `Presence` must report the number of members.
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
        """Make the session a member and return the room. Raises JoinRejectedError if a limit is reached."""
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
        """End the session's memberships of these rooms. Return the rooms without members in this process."""
        empty = []
        for name in names:
            room = self._rooms.get(name)
            if room is None or session not in room.members:
                continue
            room.members.remove(session)
            session.rooms = tuple(other for other in session.rooms if other != name)
            session.drop_room_frames(name)
            metrics.room_members.add(-1)
            self.changed.add(name)
            if not room.members:
                room.close()
                del self._rooms[name]
                metrics.open_rooms.add(-1)
                empty.append(name)
        return empty

    def list_channels(self) -> Iterable[str]:
        """Return the channel of each room."""
        return [room_channel(name) for name in self._rooms]

    def on_subscribed(self, name: str) -> None:
        """Send `joined` to the room's members and report their number."""
        if (room := self._get_by_channel(name)) is not None:
            room.acknowledge()
            self.changed.add(room.name)

    def on_unsubscribed(self, name: str | None) -> None:
        """Record that one subscription has ended, or with None all of them."""
        for room in self._rooms.values() if name is None else [self._get_by_channel(name)]:
            if room is not None:
                room.subscribed = False

    def on_message(self, name: str, body: bytes) -> None:
        """Deliver a published frame to the room's members. Raises ValueError if it is invalid."""
        if (room := self._get_by_channel(name)) is not None:
            if len(body) > MAX_FRAME_BYTES:
                raise ValueError(f"the frame has {len(body)} bytes, more than {MAX_FRAME_BYTES}")
            room.deliver(parse_room_frame(body))

    def _get_by_channel(self, channel: str) -> Room | None:
        return self._rooms.get(parse_room_channel(channel))
