"""The state of one WebSocket, without input or output (docs/asyncapi.yaml, channel `socket`)."""

import json
import time
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from hopline_client.api import trace_id_of
from hopline_client.models import Notification

VERSION = 1


class CloseCode(IntEnum):
    """Close codes of the server that decide when a client connects again."""

    RESTARTING = 1012
    TRY_LATER = 1013
    SLOW_READER = 4008
    UNAUTHORIZED = 4401
    NO_PONG = 4408
    TOO_MANY_CONNECTIONS = 4429


class Frame(dict[str, Any]):
    """A frame of the server. `received_at` is a time of `time.perf_counter()`, in seconds."""

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__(members)
        self.received_at = time.perf_counter()

    @classmethod
    def parse(cls, text: str | bytes) -> "Frame":
        """Return the frame of a message. Raises TypeError or ValueError if it is not a JSON object."""
        members = json.loads(text)
        if not isinstance(members, dict):
            raise TypeError("the message is not a JSON object")
        return cls(members)

    @property
    def trace_id(self) -> str:
        """The id of the trace that caused the frame, "" if the frame has no trace context."""
        return trace_id_of(self.get("traceparent")) or ""


class Handling(NamedTuple):
    """The required actions for a frame.

    `is_new` frames belong to the application; others are repeated, outdated or part of the protocol. `response` has to
    be sent. `read_until`, unless 0, is the seq up to which the history has to be read; then handle the frame again.
    """

    is_new: bool = False
    response: dict[str, Any] | None = None
    read_until: int = 0


class Feed:
    """The position of one device in its user's feed. `cursor` is the last seq without a gap before it."""

    def __init__(self, *, cursor: int = 0) -> None:
        self.cursor = cursor
        self.read_seq = 0
        self.ping_s = 15.0
        self.retry_s: float | None = None
        """Delay before the next connection that a drain frame requested, in seconds."""
        self._stock_versions: dict[str, int] = {}

    def hello(self, ticket: str) -> dict[str, Any]:
        """Return the first frame of a connection."""
        return {"t": "hello", "v": VERSION, "ticket": ticket, "cursor": self.cursor}

    def handle(self, frame: Frame) -> Handling:
        """Update the position. Raises KeyError, TypeError or ValueError if the frame is invalid."""
        match frame["t"]:
            case "welcome":
                return self._welcome(frame)
            case "n":
                return self._notification(int(frame["seq"]))
            case "ping":
                self._move_read_mark(frame)
                return Handling(response={"t": "pong", "cursor": self.cursor})
            case "read":
                return Handling(is_new=self._move_read_mark(frame))
            case "stock":
                return Handling(is_new=self._is_newer_stock(frame))
            case "drain":
                self.retry_s = max(0, int(frame["retry_ms"])) / 1000
        return Handling(is_new="room" in frame)

    def handle_history(self, items: Iterable[Notification], *, until: int) -> list[Frame]:
        """Return the new notifications of a history page, up to `until`, as frames.

        Notifications that are missing in the history were deleted, so a page without new notifications moves the cursor
        to `until`.
        """
        frames = list[Frame]()
        reached = until
        for item in items:
            reached = item["seq"]
            if self.cursor < item["seq"] <= until:
                self.cursor = item["seq"]
                frames.append(Frame({"t": "n", **item, "at": item["created_at"]}))
        if not frames or reached >= until:
            self.cursor = max(self.cursor, until)
        return frames

    def _welcome(self, frame: Frame) -> Handling:
        self.retry_s = None
        self.ping_s = float(frame["ping_s"])
        self._move_read_mark(frame)
        head = int(frame["head"])
        if frame["recovered"]:
            return Handling(is_new=True)
        if self.cursor < head:
            return Handling(is_new=True, read_until=head)
        self.cursor = head  # the feed is shorter than the cursor after a restore of its database
        return Handling(is_new=True)

    def _notification(self, seq: int) -> Handling:
        if seq > self.cursor + 1:
            return Handling(read_until=seq - 1)
        is_new = seq == self.cursor + 1
        self.cursor = max(self.cursor, seq)
        return Handling(is_new=is_new)

    def _is_newer_stock(self, frame: Frame) -> bool:
        version, known = int(frame["version"]), self._stock_versions.get(frame["room"], -1)
        self._stock_versions[frame["room"]] = max(version, known)
        return version > known

    def _move_read_mark(self, frame: Frame) -> bool:
        before, self.read_seq = self.read_seq, max(self.read_seq, int(frame["read_seq"]))
        return self.read_seq > before
