"""One socket of a user, and the order of its frames."""

from collections.abc import Callable
from uuid import UUID

import structlog
from starlette.websockets import WebSocket

from notifications.errors import CloseCode
from notifications.realtime import metrics
from notifications.realtime.delivery_cursor import DeliveryCursor
from notifications.realtime.frames import Drain, NotificationFrame, Ping, ReadMoved, RoomFrame, ServerFrame, Welcome
from notifications.realtime.history import History
from notifications.realtime.outbound_queue import OutboundQueue
from notifications.schemas import FeedState
from notifications.settings import Settings
from shared.errors.stores import STORE_ERRORS, log_store_failure

log = structlog.get_logger(__name__)

NEVER = float("inf")


class Session:
    """The socket of one device of `user_id`. Its public methods do not wait.

    Until the welcome, the session sends nothing and only records the head of the feed and the read mark. `recheck` is
    called with the user's id if a pull made no progress. `update_feed_state` must be called soon afterwards. `ping_at`
    is the time of the next ping on the event loop's clock.
    """

    __slots__ = (
        "_cursor",
        "_history",
        "_outbound",
        "_pong_due",
        "_read_seq",
        "_recheck",
        "_room_frames",
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
        self._cursor = DeliveryCursor()
        self._outbound = OutboundQueue(
            websocket=websocket,
            user_id=user_id,
            write_timeout_s=settings.ws_write_seconds,
            send_more=self._send_more,
        )
        self._read_seq = 0
        self._pong_due = False
        self._room_frames: dict[tuple[str, str], RoomFrame] | None = None  # most sockets join no room

    def welcome(self, state: FeedState, *, cursor: int, ping_s: float, ping_at: float) -> None:
        """Open the session and send the welcome. A session that was closed stays closed.

        The notifications after `cursor` follow, unless more than `WINDOW` were missed.
        """
        if self._outbound.closing is not None:
            return
        recovered = self._cursor.welcome(cursor=cursor, head=state.head)
        self._read_seq = max(self._read_seq, state.read_seq)
        self.ping_at = ping_at
        self.open = True
        self._outbound.put(Welcome(head=state.head, read_seq=state.read_seq, recovered=recovered, ping_s=ping_s))

    def deliver(self, frame: NotificationFrame, *, size: int) -> None:
        """Send a published notification of `size` bytes, or pull if notifications before it are missing."""
        if self._cursor.accept_live(frame.seq):
            self._outbound.put(frame, size=size)
        self._pull_if_behind()

    def send_read_mark(self, frame: ReadMoved) -> None:
        """Send a read mark that the user has set on any device."""
        self._read_seq = max(self._read_seq, frame.read_seq)
        if self.open:
            self._outbound.put(frame)

    def update_feed_state(self, state: FeedState) -> None:
        """Update the head and the read mark, and pull missing notifications."""
        self._read_seq = max(self._read_seq, state.read_seq)
        self._cursor.update_head(state.head)
        self._pull_if_behind()

    def ping(self, *, next_at: float) -> None:
        """Send a ping, or close the socket if the previous ping has no pong."""
        if not self.open:
            return
        if self._pong_due:
            self.close(CloseCode.NO_PONG)
            return
        self._pong_due = True
        self.ping_at = next_at
        self._outbound.put(Ping(head=self._cursor.head, read_seq=self._read_seq))

    def record_pong(self) -> None:
        """Record the pong of the last ping."""
        self._pong_due = False

    def send(self, frame: ServerFrame) -> None:
        """Queue a response to the client."""
        if self.open:
            self._outbound.put(frame)

    def send_room_frame(self, frame: RoomFrame) -> None:
        """Send a room's frame after all queued frames. It replaces a pending frame of the same room and type.

        So a slow reader has at most one pending frame of each room and type, besides its queue.
        """
        if self.open:
            if self._room_frames is None:
                self._room_frames = {}
            self._room_frames[frame.room, frame.t] = frame
            self._outbound.wake()

    def drop_room_frames(self, room: str) -> None:
        """Drop the pending frames of a room, because the client has left it or they may be outdated."""
        if self._room_frames:
            self._room_frames = {key: frame for key, frame in self._room_frames.items() if key[0] != room}

    def drain(self, *, retry_ms: int) -> None:
        """Announce that this process ends, or close the socket if the welcome, its first frame, was not sent."""
        if self.open:
            self._outbound.put(Drain(retry_ms=retry_ms))
        else:
            self.close(CloseCode.RESTARTING)

    def close(self, code: CloseCode, *, flush: bool = False) -> None:
        """Close the socket, with `flush` after the queued frames."""
        self.open = False
        self.ping_at = NEVER
        self._outbound.close(code, flush=flush)

    def stop(self) -> None:
        """Stop sending, because the client has disconnected."""
        self.open = False
        self.ping_at = NEVER
        self._outbound.stop()

    def _pull_if_behind(self) -> None:
        if self.open and self._cursor.is_behind:
            self._outbound.wake()

    async def _send_more(self) -> bool:
        """Send one page of missing notifications, or else one room frame. Return whether that made progress."""
        return await self._pull() or await self._send_next_room_frame()

    async def _send_next_room_frame(self) -> bool:
        if not self._room_frames:
            return False
        await self._outbound.send_now(self._room_frames.pop(next(iter(self._room_frames))))
        metrics.sent_room_frames.add(1)
        return True

    async def _pull(self) -> bool:
        """Read and send one page of missing notifications. Return whether that made progress."""
        if not self._cursor.is_behind:
            return False
        after = self._cursor.begin_pull()
        try:
            for frame in await self._history.list_after(self.user_id, after):
                if self._outbound.closing is None and self._cursor.accept_pulled(frame.seq):
                    await self._outbound.send_now(frame)
        except STORE_ERRORS as error:
            log_store_failure(log, "catch_up_interrupted", error, user_id=self.user_id, after=after)
        progress = self._cursor.end_pull()
        if not progress:
            self._recheck(self.user_id)
        return progress
