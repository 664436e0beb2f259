"""The process's one clock: pings every socket, and compares feed heads so that a lost publish is found.

All sockets due in the same moment share one query, and no socket has a timer of its own.
"""

import asyncio
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from notifications.realtime.history import History
from notifications.realtime.hub import Hub
from shared.background import Background
from shared.store_errors import STORE_ERRORS

log = structlog.get_logger(__name__)

LONGEST_TICK_S = 1.0
QUERY_PATIENCE_S = 2.0


class Heartbeat(Background):
    """Pings each session every `ping_s` seconds; users given to `recheck` have their head looked at sooner."""

    def __init__(self, *, hub: Hub, history: History, ping_s: float) -> None:
        super().__init__()
        self._hub = hub
        self._history = history
        self._ping_s = ping_s
        self._doubtful: set[UUID] = set()

    def __str__(self) -> str:
        return "heartbeat"

    def recheck(self, user_id: UUID) -> None:
        """Something may have been missed: compare this user's head at the next tick, within a second."""
        self._doubtful.add(user_id)

    async def _run(self) -> None:
        tick_s = min(LONGEST_TICK_S, self._ping_s / 10)
        with suppress_instrumentation():
            while not self._stopping.is_set():
                await self._beat(asyncio.get_running_loop().time())
                await self._pause(tick_s)

    async def _beat(self, now: float) -> None:
        due = [session for session in self._hub if session.ping_at <= now]
        await self._compare_heads({session.user_id for session in due} | self._doubtful)
        for session in due:
            session.ping(next_at=now + self._ping_s)

    async def _compare_heads(self, user_ids: set[UUID]) -> None:
        """Tell the sessions of these users how long their feeds are; where Postgres is away, try at the next tick."""
        present = user_ids & self._hub.users.keys()
        self._doubtful = set()
        if not present:
            return
        try:
            async with asyncio.timeout(QUERY_PATIENCE_S):
                states = await self._history.states(present)
        except STORE_ERRORS as error:
            self._doubtful |= present
            log.warning("heads_unknown", users=len(present), error=repr(error))
            return
        for user_id, state in states.items():
            self._hub.heard(user_id, state)
