"""Closing all sockets before the process ends, spread over time so that clients do not reconnect at the same time."""

import asyncio
import random
from math import ceil

import structlog

from notifications.errors import CloseCode
from notifications.realtime.hub import Hub

log = structlog.get_logger(__name__)

STEP_S = 0.1
"""Pause between two batches of closed sockets."""

FLUSH_TIMEOUT_S = 1.0
"""Time after the last batch for slow readers to receive their queued frames."""


async def drain(hub: Hub, *, seconds: float, retry_ms: int) -> None:
    """Send a drain frame with a random delay of at most `retry_ms` to each session, then close them in batches.

    Takes at most `seconds`, and FLUSH_TIMEOUT_S more for slow readers. A session gets live notifications until it
    closes. Sessions without a welcome are closed immediately, and new sessions are rejected.
    """
    hub.draining = True
    sessions = list(hub)
    log.info("sockets_draining", sockets=len(sessions))
    for session in sessions:
        session.drain(retry_ms=random.randint(1, retry_ms))  # noqa: S311 - spreads reconnects, no secret
    random.shuffle(sessions)
    batch_size = ceil(len(sessions) * STEP_S / seconds) if seconds else len(sessions)
    while sessions:
        for session in sessions[:batch_size]:
            session.close(CloseCode.RESTARTING, flush=True)
        del sessions[:batch_size]
        if sessions:
            await asyncio.sleep(STEP_S)
    remaining_s = FLUSH_TIMEOUT_S
    while hub.users and remaining_s > 0:
        await asyncio.sleep(STEP_S)
        remaining_s -= STEP_S
