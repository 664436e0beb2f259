"""The consumer: reads one stream for one group, in order, and applies each event exactly once.

    XREADGROUP ──▶ inbox row + effect, one transaction ──▶ COMMIT ──▶ after_commit ──▶ XACK

- If the process ends before the commit, the transaction is rolled back and the entry is delivered again.
- If it ends after the commit, the entry is delivered again and skipped, because the inbox has a row.
- If Redis is flushed, the relay appends the events of the outbox again, the group starts at 0, and applied events are
  skipped.
"""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from structlog.contextvars import bound_contextvars

from shared.background import BackgroundLoop
from shared.messaging.cloudevent import CloudEvent
from shared.messaging.group import BLOCK_S, ConsumerGroup, StreamEntry
from shared.messaging.processor import EventHandler, EventProcessor, PoisonEventError, describe_error
from shared.messaging.tracing import event_context

log = structlog.get_logger(__name__)

RETRY_S = 0.2
MAX_RETRY_S = 2.0
CLAIM_INTERVAL_S = 4.0
REPLAY_INTERVAL_S = 10.0
DRAIN_TIMEOUT_S = 2.0
"""Time in seconds to finish current events at a stop. Other members claim events that are not finished."""


@dataclass(frozen=True, kw_only=True)
class ConsumerLimits:
    """Limits of a consumer.

    `max_attempts`: failed calls of a handler after which the event becomes a dead letter. An unavailable store is not
    counted. `max_deliveries`: deliveries without acknowledgement after which an entry becomes a dead letter, because it
    seems to crash its consumers. `claim_idle_s`: time after which entries of a crashed consumer are claimed.
    `block_s`: longest wait for new entries. `drain_timeout_s`: time to finish current events at a stop.
    """

    max_attempts: int = 5
    max_deliveries: int = 10
    claim_idle_s: float = 8.0
    block_s: float = BLOCK_S
    drain_timeout_s: float = DRAIN_TIMEOUT_S


class Consumer(BackgroundLoop):
    """Consumes `stream` as a member of `group` while it is entered with `async with`.

    `handlers` maps event types to handlers; events of other types are acknowledged without effect. A failed event
    blocks the stream until it succeeds or becomes a dead letter. On exit the consumer finishes current events.
    """

    def __init__(
        self,
        *,
        group: str,
        stream: str,
        handlers: Mapping[str, EventHandler],
        sessions: async_sessionmaker[AsyncSession],
        redis: Redis,
        limits: ConsumerLimits | None = None,
    ) -> None:
        limits = limits or ConsumerLimits()
        super().__init__(drain_timeout_s=limits.drain_timeout_s)
        member = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._name = f"consumer {group} of {stream}"
        self._group = ConsumerGroup(
            redis=redis,
            stream=stream,
            group=group,
            consumer=member,
            claim_idle_s=limits.claim_idle_s,
            block_s=limits.block_s,
        )
        self._processor = EventProcessor(group=group, stream=stream, handlers=handlers, sessions=sessions, redis=redis)
        self._limits = limits

    def __str__(self) -> str:
        return self._name

    def is_outage(self, error: Exception) -> bool:
        """Return whether a store is unavailable, or Redis lost the group (it was flushed, or restored)."""
        return (isinstance(error, ResponseError) and "NOGROUP" in str(error)) or super().is_outage(error)

    async def _run(self) -> None:
        await self._group.join()
        async for entries in self._group.read_pending():
            await self._process(entries)
        clock = asyncio.get_running_loop().time
        claim_at = replay_at = clock()
        while not self._stopping.is_set():
            if clock() >= claim_at:
                await self._claim_stale()
                claim_at = clock() + CLAIM_INTERVAL_S
            if clock() >= replay_at:
                await self._processor.replay_dead_letters()
                replay_at = clock() + REPLAY_INTERVAL_S
            with self._cancellable():
                entries = await self._group.read_new()
            await self._process(entries)

    async def _claim_stale(self) -> None:
        async for entry in self._group.claim_stale():
            deliveries = await self._group.count_deliveries(entry.id)
            if deliveries > self._limits.max_deliveries:
                error = f"delivered {deliveries} times and never acknowledged"
                await self._dead_letter(entry, error=error, attempts=deliveries)
            else:
                await self._process([entry])
            if self._stopping.is_set():  # the entry may not be applied yet, and later ones must not overtake it
                return

    async def _process(self, entries: Sequence[StreamEntry]) -> None:
        """Acknowledge entries that were applied before, and apply the others in order.

        A single new entry is not looked up in the inbox: the transaction that applies it checks the inbox anyway, and a
        client may wait for the effect. An entry that was applied before gets a span only if Redis delivered it before.
        After a flush of Redis, the relay appends the events of the outbox again, and applied ones get no spans.
        """
        handled = [entry.event for entry in entries if entry.event and self._processor.handles(entry.event)]
        is_single = len(entries) == 1 and not entries[0].redelivered
        applied = {} if is_single else await self._processor.find_applied(handled)
        to_apply = {event.id for event in handled} - applied.keys()
        await self._group.acknowledge(
            *(entry.id for entry in entries if entry.event and entry.event.id not in to_apply)
        )
        for entry in entries:
            if (event := entry.event) is None:
                await self._dead_letter(entry, error=entry.decode_error, attempts=1)
            elif event.id in applied and entry.redelivered:
                self._processor.record_redelivery(event, applied[event.id])
            elif event.id in to_apply:
                with event_context(event), bound_contextvars(event_id=str(event.id), event_type=event.type):
                    if not await self._apply_with_retries(entry, event):
                        return

    async def _apply_with_retries(self, entry: StreamEntry, event: CloudEvent) -> bool:
        """Apply the event with retries until it is applied or a dead letter. Return False at a stop."""
        for attempt in range(1, self._limits.max_attempts + 1):
            try:
                await self._processor.apply(event, redelivered=entry.redelivered or attempt > 1)
            except Exception as error:  # noqa: BLE001 - handlers can raise anything
                await self._processor.raise_if_store_unavailable(error)
                if attempt == self._limits.max_attempts or isinstance(error, PoisonEventError | ValidationError):
                    await self._dead_letter(entry, error=describe_error(error), attempts=attempt)
                    return True
                log.warning("event_failed", attempt=attempt, error=describe_error(error))
                await self._pause(min(RETRY_S * 2 ** (attempt - 1), MAX_RETRY_S))
                if self._stopping.is_set():
                    break
            else:
                await self._group.acknowledge(entry.id)
                return True
        return False

    async def _dead_letter(self, entry: StreamEntry, *, error: str, attempts: int) -> None:
        await self._processor.dead_letter(entry.id, entry.body, entry.event, error=error, attempts=attempts)
        await self._group.acknowledge(entry.id)
