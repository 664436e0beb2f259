"""The consumer: reads one stream for one group, in order, and applies each event exactly once.

    XREADGROUP ──▶ inbox row + effect, one transaction ──▶ COMMIT ──▶ after_commit ──▶ XACK

Killed before the commit, nothing happened and the entry comes again. Killed after it, the entry comes again and the
inbox row says so. Redis flushed: the relay ships everything again, the group starts at 0, the inbox skips it all.
"""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from uuid import uuid4

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from structlog.contextvars import bound_contextvars

from shared.background import Background
from shared.events.cloudevent import CloudEvent
from shared.events.group import Entry, Group
from shared.events.processor import Handler, Poison, Processor, describe
from shared.events.tracing import event_context

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 5
MAX_DELIVERIES = 10
RETRY_S = 0.2
LONGEST_RETRY_S = 2.0
TAKE_OVER_S = 4.0
DEAD_LETTERS_S = 10.0
DRAIN_TIMEOUT_S = 2.0
"""Far more than the events in hand take. It counts in a process's grace period; what remains, others take over."""


class Consumer(Background):
    """Consumes `stream` as a member of `group` while entered with `async with`.

    `handlers` maps event types to handlers; other types are acknowledged unread. A handler that fails is called
    again, `max_attempts` times in all with pauses from 0.2 s on, while the stream waits; then the event becomes a
    dead letter and the stream goes on. Failing because Postgres is away does not count. An entry handed out more
    than `max_deliveries` times and never acknowledged becomes a dead letter too: it seems to kill its consumers.
    What a dead consumer has left is taken over after `claim_idle_s` seconds. On exit the events in hand are
    finished within `drain_timeout_s`.
    """

    def __init__(
        self,
        *,
        group: str,
        stream: str,
        handlers: Mapping[str, Handler],
        sessions: async_sessionmaker[AsyncSession],
        redis: Redis,
        max_attempts: int = MAX_ATTEMPTS,
        max_deliveries: int = MAX_DELIVERIES,
        claim_idle_s: float = 8.0,
        drain_timeout_s: float = DRAIN_TIMEOUT_S,
    ) -> None:
        super().__init__(drain_timeout_s=drain_timeout_s)
        member = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._name = f"consumer {group} of {stream}"
        self._group = Group(redis=redis, stream=stream, group=group, consumer=member, claim_idle_s=claim_idle_s)
        self._processor = Processor(group=group, stream=stream, handlers=handlers, sessions=sessions, redis=redis)
        self._max_attempts = max_attempts
        self._max_deliveries = max_deliveries

    def __str__(self) -> str:
        return self._name

    async def _run(self) -> None:
        await self._group.join()
        async for entries in self._group.unfinished():
            await self._settle(entries)
        clock = asyncio.get_running_loop().time
        take_over_at = dead_letters_at = clock()
        while not self._stopping.is_set():
            if clock() >= take_over_at:
                await self._take_over()
                take_over_at = clock() + TAKE_OVER_S
            if clock() >= dead_letters_at:
                await self._processor.replay_requested()
                dead_letters_at = clock() + DEAD_LETTERS_S
            with self._resting():
                entries = await self._group.next()
            await self._settle(entries)

    async def _take_over(self) -> None:
        async for entry in self._group.abandoned():
            deliveries = await self._group.deliveries(entry.id)
            if deliveries > self._max_deliveries:
                error = f"handed out {deliveries} times and never acknowledged"
                await self._bury(entry, error=error, attempts=deliveries)
            else:
                await self._settle([entry])

    async def _settle(self, entries: Sequence[Entry]) -> None:
        """Acknowledge at once what is done already, and bring the rest to an end one by one, in order.

        A lone entry that is new is not looked up before: the claim within its transaction says the same, and somebody
        waits for what it brings about. Of a batch, only what somebody was handed and left makes a span: where Redis
        forgot, whole streams come again.
        """
        handled = [entry.event for entry in entries if entry.event and self._processor.handles(entry.event)]
        lone = len(entries) == 1 and not entries[0].redelivered
        applied = {} if lone else await self._processor.applied(handled)
        to_apply = {event.id for event in handled} - applied.keys()
        await self._group.acknowledge(
            *(entry.id for entry in entries if entry.event and entry.event.id not in to_apply)
        )
        for entry in entries:
            if (event := entry.event) is None:
                await self._bury(entry, error=entry.flaw, attempts=1)
            elif event.id in applied and entry.redelivered:
                self._processor.tell_applied(event, applied[event.id])
            elif event.id in to_apply:
                with event_context(event), bound_contextvars(event_id=str(event.id), event_type=event.type):
                    if not await self._persist(entry, event):
                        return

    async def _persist(self, entry: Entry, event: CloudEvent) -> bool:
        """Apply the event, again where that fails, until it is applied or buried; False where the stop comes first."""
        for attempt in range(1, self._max_attempts + 1):
            try:
                await self._processor.apply(event, redelivered=entry.redelivered or attempt > 1)
            except Exception as error:  # noqa: BLE001 - a handler may raise anything
                await self._processor.blame(error)
                if attempt == self._max_attempts or isinstance(error, Poison | ValidationError):
                    await self._bury(entry, error=describe(error), attempts=attempt)
                    return True
                log.warning("event_failed", attempt=attempt, error=describe(error))
                await self._pause(min(RETRY_S * 2 ** (attempt - 1), LONGEST_RETRY_S))
                if self._stopping.is_set():
                    break
            else:
                await self._group.acknowledge(entry.id)
                return True
        return False

    async def _bury(self, entry: Entry, *, error: str, attempts: int) -> None:
        await self._processor.bury(entry.id, entry.body, entry.event, error=error, attempts=attempts)
        await self._group.acknowledge(entry.id)
