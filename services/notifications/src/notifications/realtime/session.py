"""One socket: what the rest of the process tells it, and in which order the device gets to see it."""

from collections.abc import Callable
from uuid import UUID

import structlog
from starlette.websockets import WebSocket

from notifications.errors import CloseCode
from notifications.realtime import metrics
from notifications.realtime.frames import Drain, NotificationFrame, Ping, ReadMoved, RoomFrame, ServerFrame, Welcome
from notifications.realtime.history import History
from notifications.realtime.lane import Lane
from notifications.realtime.pump import Pump
from notifications.schemas import FeedState
from notifications.settings import Settings
from shared.store_errors import STORE_ERRORS

log = structlog.get_logger(__name__)

NEVER = float("inf")


class Session:
    """One device of `user_id`. Its methods never wait; what they are told before the welcome only counts as heard.

    `recheck` is called with the user's id when what the device misses could not be read: ask for the feed's head
    soon, and tell `heard`. `ping_at` is the next ping's time on the event loop's clock.
    """

    __slots__ = (
        "_history",
        "_lane",
        "_latest",
        "_pong_due",
        "_pump",
        "_read_seq",
        "_recheck",
        "open",
        "ping_at",
        "rooms",
        "user_id",
    )

    def __init__(
        self,
        *,
        user_id: UUID,
        websocket: WebSocket,
        history: History,
        settings: Settings,
        recheck: Callable[[UUID], None],
    ) -> None:
        self.user_id = user_id
        self.open = False
        self.ping_at = NEVER
        self.rooms: tuple[str, ...] = ()
        self._history = history
        self._recheck = recheck
        self._pump = Pump()
        self._lane = Lane(websocket=websocket, user_id=user_id, write_s=settings.ws_write_seconds, more=self._send_more)
        self._read_seq = 0
        self._pong_due = False
        self._latest: dict[tuple[str, str], RoomFrame] | None = None  # most sockets join no room

    def welcome(self, state: FeedState, *, cursor: int, ping_s: float, ping_at: float) -> None:
        """Greet the device and bring it from its `cursor` to the feed's head."""
        recovered = self._pump.welcome(cursor=cursor, head=state.head)
        self._read_seq = state.read_seq
        self.ping_at = ping_at
        self.open = True
        self._lane.put(Welcome(head=state.head, read_seq=state.read_seq, recovered=recovered, ping_s=ping_s))

    def offer(self, frame: NotificationFrame, *, size: int) -> None:
        """A notification was published, `size` bytes long."""
        if self._pump.live(frame.seq):
            self._lane.put(frame, size=size)
        self._pull_if_behind()

    def read_moved(self, frame: ReadMoved) -> None:
        """The user has read something on some device."""
        if self.open:
            self._read_seq = max(self._read_seq, frame.read_seq)
            self._lane.put(frame)

    def heard(self, state: FeedState) -> None:
        """The feed is as long as `state` says; what is missing is pulled."""
        self._read_seq = max(self._read_seq, state.read_seq)
        self._pump.heard(state.head)
        self._pull_if_behind()

    def ping(self, *, next_at: float) -> None:
        """Ask whether the device is there; close where it has not answered the last time."""
        if not self.open:
            return
        if self._pong_due:
            self.close(CloseCode.NO_PONG)
            return
        self._pong_due = True
        self.ping_at = next_at
        self._lane.put(Ping(head=self._pump.known, read_seq=self._read_seq))

    def pong(self) -> None:
        """The device is there."""
        self._pong_due = False

    def send(self, frame: ServerFrame) -> None:
        """Queue a response to the client."""
        if self.open:
            self._lane.put(frame)

    def show(self, frame: RoomFrame) -> None:
        """Send a room's frame after everything that is queued. It replaces an older one that was not sent yet.

        So a slow reader has at most one frame of each type and room waiting, beside its queue.
        """
        if self.open:
            if self._latest is None:
                self._latest = {}
            self._latest[frame.room, frame.t] = frame
            self._lane.wake()

    def hide(self, room: str) -> None:
        """Drop what was not sent yet of a room that the client has left."""
        if self._latest:
            self._latest = {key: frame for key, frame in self._latest.items() if key[0] != room}

    def drain(self, *, retry_ms: int) -> None:
        """Announce the end of this process."""
        self._lane.put(Drain(retry_ms=retry_ms))

    def close(self, code: CloseCode, *, flush: bool = False) -> None:
        """Send the device away, with `flush` after what is queued."""
        self.open = False
        self.ping_at = NEVER
        self._lane.close(code, flush=flush)

    def disconnected(self) -> None:
        """The device has gone."""
        self.open = False
        self.ping_at = NEVER
        self._lane.disconnected()

    def _pull_if_behind(self) -> None:
        if self.open and self._pump.behind:
            self._lane.wake()

    async def _send_more(self) -> bool:
        """Send what is not queued: missing notifications first, then one room frame; False if there is neither."""
        return await self._catch_up() or await self._send_latest()

    async def _send_latest(self) -> bool:
        if not self._latest:
            return False
        await self._lane.send(self._latest.pop(next(iter(self._latest))))
        metrics.sent_room_frames.add(1)
        return True

    async def _catch_up(self) -> bool:
        """Send one page of what is missing; False where nothing is. Live messages are on hold meanwhile."""
        if not self._pump.behind:
            return False
        after = self._pump.begin_pull()
        try:
            for frame in await self._history.after(self.user_id, after):
                if self._lane.closing is None and self._pump.pulled(frame.seq):
                    await self._lane.send(frame)
        except STORE_ERRORS as error:
            log.warning("catch_up_interrupted", user_id=self.user_id, after=after, error=repr(error))
        progress = self._pump.end_pull()
        if not progress:
            self._recheck(self.user_id)
        return progress
