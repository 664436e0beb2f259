"""The outbox: an event is inserted in the business transaction that causes it.

A write to PostgreSQL and a write to Redis cannot be one transaction. The relay appends the rows to the stream.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from shared.db.driver import DriverStatement
from shared.messaging.cloudevent import CloudEvent
from shared.messaging.low_water_mark import low_water_mark_tables
from shared.messaging.tracing import TraceContext

_WAKE, _PUBLISHED = "outbox.wake", "outbox.published"


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Define `outbox` and the tables of its low-water mark on a publishing service's metadata, for its migrations.

    `position` is the order of insertion. `pub_seq` is null until the relay assigns it after the commit: 1, 2, 3…
    without gaps. It never changes.
    """
    low_water_mark_tables(metadata)
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("pub_seq", sa.BigInteger, nullable=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("time", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("traceparent", sa.Text, nullable=True),
        sa.Column("tracestate", sa.Text, nullable=True),
        sa.Column("baggage", sa.Text, nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Index("outbox_pub_seq_key", "pub_seq", unique=True),
        sa.Index("outbox_unsealed_idx", "position", postgresql_where=sa.text("pub_seq IS NULL")),
    )


OUTBOX = outbox_table(sa.MetaData())
INSERT_EVENT = DriverStatement(
    sa.insert(OUTBOX),
    columns=["id", "source", "type", "subject", "time", "data", "traceparent", "tracestate", "baggage"],
)


async def publish(session: AsyncSession, event: CloudEvent) -> None:
    """Publish `event` if and only if the transaction of `session` commits.

    An event without a trace context gets that of the current span, and the current baggage. The cost is one INSERT. The
    relay is woken after the commit, because a NOTIFY inside the transaction would serialise all commits.
    """
    carried = TraceContext.from_event(event) if event.traceparent else TraceContext.current()
    await INSERT_EVENT.fetch(
        session,
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=event.time,
        data=to_json(event.data).decode(),
        traceparent=carried.traceparent,
        tracestate=carried.tracestate,
        baggage=carried.baggage,
    )
    session.info[_PUBLISHED] = True


def _wake(session: Session) -> None:
    """Wake the relay if the transaction has published. Listener of the `after_commit` event."""
    if session.in_nested_transaction():  # the event is also fired at the end of a savepoint
        return
    if session.info.pop(_PUBLISHED, False) and (wake := session.info.get(_WAKE)):
        wake()


@contextmanager
def wake_after_commit(sessions: async_sessionmaker[AsyncSession] | None, wake: Callable[[], None]) -> Iterator[None]:
    """Within the block, call `wake` after each commit of a session of `sessions` that has published.

    This replaces `Session.info` of new sessions, so a session maker can have only one relay.
    """
    if sessions is None:
        yield
        return
    sessions.configure(info={_WAKE: wake})
    sqlalchemy_event.listen(Session, "after_commit", _wake)  # for all sessions; repeated calls have no effect
    try:
        yield
    finally:
        sessions.configure(info={})
