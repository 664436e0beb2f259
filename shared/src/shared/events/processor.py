"""The Postgres side of consuming: an event's effect, its burial as a dead letter, its replay."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from uuid import UUID

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from structlog.contextvars import bound_contextvars

from shared.crash import crash_point
from shared.events import deadletters, figures, inbox
from shared.events.cloudevent import CloudEvent
from shared.events.tracing import Trace, event_context, process_span
from shared.redis import server_attributes
from shared.store_errors import store_is_unavailable

log = structlog.get_logger(__name__)

AfterCommit = Callable[[], Awaitable[None]]
"""Runs after the commit, inside the span, at most once: a crash in between loses it. For wake-ups, not for effects."""

Handler = Callable[[AsyncSession, CloudEvent], Awaitable[AfterCommit | None]]
"""Applies an event through the session and never commits it; raises where the event can not be applied now."""


class Poison(Exception):
    """Raised by a handler for an event that no further attempt can heal: it becomes a dead letter at once."""


class Processor:
    """Applies the events of `stream` for `group`; `handlers` by event type."""

    def __init__(
        self,
        *,
        group: str,
        stream: str,
        handlers: Mapping[str, Handler],
        sessions: async_sessionmaker[AsyncSession],
        redis: Redis,
    ) -> None:
        self._group = group
        self._stream = stream
        self._handlers = handlers
        self._sessions = sessions
        self._server = server_attributes(redis)

    def handles(self, event: CloudEvent) -> bool:
        """Whether its type has a handler."""
        return event.type in self._handlers

    async def applied(self, events: Collection[CloudEvent]) -> dict[UUID, Trace]:
        """The ids of those that were applied before, each with the span it was applied in."""
        if not events:
            return {}
        with suppress_instrumentation():
            async with self._sessions() as session:
                return await inbox.applied(session, consumer=self._group, event_ids=[event.id for event in events])

    def tell_applied(self, event: CloudEvent, first: Trace) -> None:
        """Show that `event` came again for nothing: `first` had applied it and could not acknowledge it."""
        with (
            event_context(event),
            bound_contextvars(event_id=str(event.id), event_type=event.type),
            process_span(self._stream, self._group, event, server=self._server, redelivered=True, applied_in=first),
        ):
            log.info("event_applied_before", stream=self._stream)

    async def apply(self, event: CloudEvent, *, redelivered: bool) -> None:
        """Inbox row and effect in one transaction, then what the handler wants done after it.

        A no-op, which the span tells, where the event was applied before. Raises what the handler or the commit raises.
        """
        with process_span(self._stream, self._group, event, server=self._server, redelivered=redelivered) as span:
            async with self._sessions() as session, session.begin():
                if not await inbox.claim(session, consumer=self._group, event_id=event.id):
                    span.set_attribute("hopline.applied_before", True)
                    return
                after_commit = await self._handler(event)(session, event)
            crash_point("consumer.after_commit")
            await self._hint(after_commit)
            log.info("event_processed", stream=self._stream)

    async def bury(self, entry_id: str, body: bytes, event: CloudEvent | None, *, error: str, attempts: int) -> None:
        """Keep the entry as a dead letter, and mark its event as applied so that it does not come again."""
        with suppress_instrumentation():
            async with self._sessions() as session, session.begin():
                await deadletters.bury(
                    session,
                    consumer=self._group,
                    stream=self._stream,
                    entry_id=entry_id,
                    body=body,
                    event_id=event.id if event else None,
                    event_type=event.type if event else None,
                    error=error,
                    attempts=attempts,
                )
                if event is not None:
                    await inbox.claim(session, consumer=self._group, event_id=event.id)
        log.error("event_dead_lettered", stream=self._stream, entry_id=entry_id, attempts=attempts, error=error)

    async def replay_requested(self) -> None:
        """Count the open dead letters, and try again, once each, those whose replay was requested."""
        with suppress_instrumentation():
            async with self._sessions() as session:
                await figures.look_for_dead_letters(session, group=self._group, stream=self._stream)
                letters = await deadletters.requested(session, consumer=self._group, stream=self._stream)
        for letter in letters:
            try:
                await self._replay(letter)
            except Exception as error:  # noqa: BLE001 - any reason keeps the letter open
                await self.blame(error)
                await self._reopen(letter, error)

    async def blame(self, error: Exception) -> None:
        """Return if `error` is about the event; raise if a store cannot serve now, or could not just before."""
        if store_is_unavailable(error):
            raise error
        with suppress_instrumentation():
            async with self._sessions() as session:
                await session.execute(text("SELECT 1"))

    async def _replay(self, letter: int) -> None:
        async with self._sessions() as session:
            with suppress_instrumentation():
                body = await deadletters.take(session, letter)
            if body is None:
                return
            event = CloudEvent.decode(body)
            with (
                event_context(event),
                bound_contextvars(event_id=str(event.id), event_type=event.type),
                process_span(self._stream, self._group, event, server=self._server, redelivered=True),
            ):
                await inbox.claim(session, consumer=self._group, event_id=event.id)
                after_commit = await self._handler(event)(session, event)
                await session.commit()
                log.info("dead_letter_replayed", stream=self._stream, dead_letter=letter)
                await self._hint(after_commit)

    async def _reopen(self, letter: int, error: Exception) -> None:
        with suppress_instrumentation():
            async with self._sessions() as session, session.begin():
                await deadletters.reopen(session, letter, error=describe(error))
        log.error("dead_letter_replay_failed", stream=self._stream, dead_letter=letter, error=describe(error))

    def _handler(self, event: CloudEvent) -> Handler:
        try:
            return self._handlers[event.type]
        except KeyError:
            raise Poison(f"nothing handles {event.type}") from None

    async def _hint(self, after_commit: AfterCommit | None) -> None:
        if after_commit is None:
            return
        try:
            await after_commit()
        except Exception:
            log.warning("after_commit_failed", stream=self._stream, exc_info=True)


def describe(error: BaseException) -> str:
    """An error on one line for a dead letter, with its type."""
    return f"{type(error).__name__}: {error}"[:2000]
