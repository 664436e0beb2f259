"""A customer's device: it stays connected, and resumes from what it has seen however its connection ends."""

import asyncio
import random
from contextlib import suppress

import httpx
from websockets.exceptions import WebSocketException

from chaos.history import DeviceLog, Frame
from testkit.shopper import Device, Shopper

_LONGEST_PAUSE_S = 0.5


class ResumingDevice:
    """Watches the feed of `shopper` into `log` until it is cancelled."""

    def __init__(self, *, shopper: Shopper, log: DeviceLog, rng: random.Random) -> None:
        self.log = log
        self._shopper = shopper
        self._rng = rng
        self._connection: Device | None = None

    def cut(self) -> None:
        """Lose the connection, as under a bridge."""
        if self._connection:
            self._connection.cut()

    async def watch(self) -> None:
        """Connect, listen, and connect again."""
        while True:
            with suppress(httpx.HTTPError, OSError, WebSocketException, AssertionError):
                await self._once()
            await asyncio.sleep(self._rng.uniform(0, _LONGEST_PAUSE_S))

    async def _once(self) -> None:
        async with self._shopper.device(cursor=self.log.cursor, on_frame=self._saw) as self._connection:
            await self._connection.closed()

    def _saw(self, frame: dict[str, object]) -> None:
        self.log.frames.append(_frame(frame))


def _frame(raw: dict[str, object]) -> Frame:
    data = raw["data"]
    assert isinstance(data, dict)
    return Frame(
        seq=int(str(raw["seq"])),
        id=str(raw["id"]),
        kind=str(raw["kind"]),
        about=str(data.get("order_id") or data.get("user_id") or ""),
        trace_id=str(raw["traceparent"]).split("-")[1],
    )
