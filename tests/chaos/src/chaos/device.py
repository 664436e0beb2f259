"""A customer's device: it stays connected, and resumes after the last notification that it received."""

import asyncio
import random
from contextlib import suppress

from chaos.history import DeviceLog, Frame
from hopline_client import realtime
from hopline_client.api import ProblemError
from hopline_client.backoff import Backoff
from hopline_client.device import Device
from hopline_client.rest import Client

_PAUSE_S = 0.5


class ResumingDevice:
    """Records the feed of `shopper` in `log` until it is cancelled: every received frame, including repeated ones."""

    def __init__(self, *, shopper: Client, log: DeviceLog, rng: random.Random) -> None:
        self.log = log
        backoff = Backoff(first_s=_PAUSE_S, max_s=_PAUSE_S, rng=rng)
        self._device = Device(client=shopper, on_frame=self._record, backoff=backoff)

    def cut(self) -> None:
        """Close the connection without a close frame."""
        self._device.abort()

    async def watch(self) -> None:
        """Stay connected. Try again if a service rejects the token, because a fault can prevent its verification."""
        while True:
            with suppress(ProblemError):
                await self._device.run()
            await asyncio.sleep(_PAUSE_S)

    def _record(self, frame: realtime.Frame) -> None:
        if frame["t"] == "n":
            data = frame["data"]
            self.log.frames.append(
                Frame(
                    seq=frame["seq"],
                    id=frame["id"],
                    kind=frame["kind"],
                    about=str(data.get("order_id") or data.get("user_id") or ""),
                    trace_id=frame.trace_id,
                )
            )
