"""Pings all sockets, and compares feed heads to find lost publishes.

All sockets that are due share one query, and sockets have no timers.
"""

import asyncio
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from notifications.realtime.history import History
from notifications.realtime.hub import Hub
from shared.background import BackgroundLoop
from shared.errors.stores import STORE_ERRORS, log_store_failure

log = structlog.get_logger(__name__)

MAX_TICK_S = 1.0
"""A ping is sent, and a head is compared, at most this time after it is due."""

QUERY_TIMEOUT_S = 2.0


class Heartbeat(BackgroundLoop):
    """Pings each session every `ping_s` seconds. `recheck` compares the head of one user sooner."""

    def __init__(self, *, hub: Hub, history: History, ping_s: float) -> None:
        super().__init__()
        self._hub = hub
        self._history = history
        self._ping_s = ping_s
        self._to_recheck: set[UUID] = set()

    def __str__(self) -> str:
        return "heartbeat"

    def recheck(self, user_id: UUID) -> None:
        """Compare the user's head at the next tick, within a second, because a publish may be lost."""
        self._to_recheck.add(user_id)

    async def _run(self) -> None:
        tick_s = min(MAX_TICK_S, self._ping_s / 10)
        with suppress_instrumentation():
            while not self._stopping.is_set():
                await self._tick(asyncio.get_running_loop().time())
                await self._pause(tick_s)

    async def _tick(self, now: float) -> None:
        due = [session for session in self._hub if session.ping_at <= now]
        await self._compare_heads({session.user_id for session in due} | self._to_recheck)
        for session in due:
            session.ping(next_at=now + self._ping_s)

    async def _compare_heads(self, user_ids: set[UUID]) -> None:
        """Pass the state of these users' feeds to their sessions. The next tick tries again if PostgreSQL fails."""
        present = user_ids & self._hub.users.keys()
        self._to_recheck = set()
        if not present:
            return
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S):
                states = await self._history.get_states(present)
        except STORE_ERRORS as error:
            self._to_recheck |= present
            log_store_failure(log, "heads_unknown", error, users=len(present))
            return
        for user_id, state in states.items():
            self._hub.update_feed_state(user_id, state)
