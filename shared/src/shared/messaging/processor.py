"""The transactions of a consumer: apply an event, store a dead letter, replay a dead letter."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from structlog.contextvars import bound_contextvars

from shared.db.redis import server_attributes
from shared.errors.stores import store_is_unavailable
from shared.faults.crash_points import crash_point
from shared.messaging import dead_letters, inbox, metrics
from shared.messaging.cloudevent import CloudEvent
from shared.messaging.tracing import TraceContext, event_context, process_span
from shared.validation.text import storable_text, terminal_text

log = structlog.get_logger(__name__)

MAX_ERROR_CHARACTERS = 2000
"""Maximum length of the error of a dead letter."""

AfterCommit = Callable[[], Awaitable[None]]
"""Runs after the commit, inside the span, at most once. A crash loses it, so it is for wake-ups and not for effects."""

EventHandler = Callable[[AsyncSession, CloudEvent], Awaitable[AfterCommit | None]]
"""Applies an event in the transaction of the session, and never commits. Raises if the event cannot be applied."""


class PoisonEventError(Exception):
    """A handler raises it for an event that no retry can fix. The event becomes a dead letter immediately."""


class EventProcessor:
    """Applies the events of `stream` for `group`. `handlers` maps event types to handlers."""

    def __init__(
        self,
        *,
        group: str,
        stream: str,
        handlers: Mapping[str, EventHandler],
        sessions: async_sessionmaker[AsyncSession],
        redis: Redis,
    ) -> None:
        self._group = group
        self._stream = stream
        self._handlers = handlers
        self._sessions = sessions
        self._server = server_attributes(redis)

    def handles(self, event: CloudEvent) -> bool:
        """Return whether the event type has a handler."""
        return event.type in self._handlers

    async def find_applied(self, events: Collection[CloudEvent]) -> dict[UUID, TraceContext]:
        """Return the ids of events that were applied before, with the trace context of the span that applied them."""
        if not events:
            return {}
        with suppress_instrumentation():
            async with self._sessions() as session:
                return await inbox.find_applied(session, consumer=self._group, event_ids=[event.id for event in events])

    def record_redelivery(self, event: CloudEvent, first: TraceContext) -> None:
        """Record a span for an event that was delivered again although the span `first` had applied it."""
        with (
            event_context(event),
            bound_contextvars(event_id=str(event.id), event_type=event.type),
            process_span(self._stream, self._group, event, server=self._server, redelivered=True, applied_in=first),
        ):
            log.info("event_applied_before", stream=self._stream)

    async def apply(self, event: CloudEvent, *, redelivered: bool) -> None:
        """Insert the inbox row and call the handler in one transaction, then run its AfterCommit.

        If the event was applied before, only the span is recorded. Errors of the handler and of the commit propagate.
        """
        with process_span(self._stream, self._group, event, server=self._server, redelivered=redelivered) as span:
            async with self._sessions() as session, session.begin():
                if not await inbox.claim_event(session, consumer=self._group, event_id=event.id):
                    span.set_attribute("hopline.applied_before", True)
                    return
                after_commit = await self._get_handler(event)(session, event)
            crash_point("consumer.after_commit")
            await self._run_after_commit(after_commit)
            log.info("event_processed", stream=self._stream)

    async def dead_letter(
        self, entry_id: str, body: bytes, event: CloudEvent | None, *, error: str, attempts: int
    ) -> None:
        """Store the entry as a dead letter, and mark its event as applied."""
        with suppress_instrumentation():
            async with self._sessions() as session, session.begin():
                entry = dead_letters.FailedEntry(
                    consumer=self._group,
                    stream=self._stream,
                    entry_id=entry_id,
                    body=body,
                    event_id=event.id if event else None,
                    event_type=storable_text(event.type) if event else None,
                    error=error,
                    attempts=attempts,
                )
                await dead_letters.insert_dead_letter(session, entry)
                if event is not None:
                    await inbox.claim_event(session, consumer=self._group, event_id=event.id)
        log.error("event_dead_lettered", stream=self._stream, entry_id=entry_id, attempts=attempts, error=error)

    async def replay_dead_letters(self) -> None:
        """Record the number of open dead letters, and try each requested replay once."""
        with suppress_instrumentation():
            async with self._sessions() as session:
                await metrics.record_open_dead_letters(session, group=self._group, stream=self._stream)
                dead_letter_ids = await dead_letters.list_requested_replays(
                    session, consumer=self._group, stream=self._stream
                )
        for dead_letter_id in dead_letter_ids:
            try:
                await self._replay(dead_letter_id)
            except Exception as error:  # noqa: BLE001 - any error keeps the dead letter open
                await self.raise_if_store_unavailable(error)
                await self._reopen(dead_letter_id, error)

    async def raise_if_store_unavailable(self, error: Exception) -> None:
        """Raise if a store is unavailable; return if the event itself caused `error`."""
        if store_is_unavailable(error):
            raise error
        with suppress_instrumentation():
            async with self._sessions() as session:
                await session.execute(text("SELECT 1"))

    async def _replay(self, dead_letter_id: int) -> None:
        async with self._sessions() as session:
            with suppress_instrumentation():
                body = await dead_letters.claim_replay(session, dead_letter_id)
            if body is None:
                return
            event = CloudEvent.decode(body)
            with (
                event_context(event),
                bound_contextvars(event_id=str(event.id), event_type=event.type),
                process_span(self._stream, self._group, event, server=self._server, redelivered=True),
            ):
                await inbox.claim_event(session, consumer=self._group, event_id=event.id)
                after_commit = await self._get_handler(event)(session, event)
                await session.commit()
                log.info("dead_letter_replayed", stream=self._stream, dead_letter=dead_letter_id)
                await self._run_after_commit(after_commit)

    async def _reopen(self, dead_letter_id: int, error: Exception) -> None:
        with suppress_instrumentation():
            async with self._sessions() as session, session.begin():
                await dead_letters.record_failed_replay(session, dead_letter_id, error=describe_error(error))
        log.error(
            "dead_letter_replay_failed", stream=self._stream, dead_letter=dead_letter_id, error=describe_error(error)
        )

    def _get_handler(self, event: CloudEvent) -> EventHandler:
        try:
            return self._handlers[event.type]
        except KeyError:
            raise PoisonEventError(f"no handler for {event.type}") from None

    async def _run_after_commit(self, after_commit: AfterCommit | None) -> None:
        if after_commit is None:
            return
        try:
            await after_commit()
        except Exception:
            log.warning("after_commit_failed", stream=self._stream, exc_info=True)


def describe_error(error: BaseException) -> str:
    """Return the type and the message of an error for a dead letter.

    PostgreSQL rejects NUL and lone surrogates in text, so they are escaped. Otherwise the dead letter could not be
    stored, and the event would block the stream.
    """
    return storable_text(terminal_text(f"{type(error).__name__}: {error}"))[:MAX_ERROR_CHARACTERS]
