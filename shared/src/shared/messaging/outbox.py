"""The outbox: an event is a row of the business transaction that caused it, or it did not happen.

Writes to PostgreSQL and Redis cannot be atomic together; two writes to PostgreSQL are. The relay ships the rows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from shared.driver import DriverStatement
from shared.events.cloudevent import CloudEvent
from shared.events.floor import floor_tables
from shared.events.tracing import Trace

_WAKE, _PUBLISHED = "outbox.wake", "outbox.published"


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """Define `outbox` on a publishing service's metadata, for its migrations, and the tables of its floor.

    `position` is the order of insertion, in which what one transaction causes after another stays after it.
    `pub_seq` is given by the relay after the commit: 1, 2, 3… without a gap, and never changes; null until then.
    """
    floor_tables(metadata)
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
PUBLISH = DriverStatement(
    sa.insert(OUTBOX),
    columns=["id", "source", "type", "subject", "time", "data", "traceparent", "tracestate", "baggage"],
)


async def publish(session: AsyncSession, event: CloudEvent) -> None:
    """Publish `event` if and only if the transaction of `session` commits.

    An event without a trace context gets that of the current span, with the baggage. Costs one INSERT. The relay is
    woken after the commit: a NOTIFY inside the transaction would serialise all commits.
    """
    carried = Trace.of_event(event) if event.traceparent else Trace.current()
    await PUBLISH.fetch(
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
    if session.in_nested_transaction():  # the end of a savepoint fires the event as well
        return
    if session.info.pop(_PUBLISHED, False) and (wake := session.info.get(_WAKE)):
        wake()


@contextmanager
def woken_by(sessions: async_sessionmaker[AsyncSession] | None, wake: Callable[[], None]) -> Iterator[None]:
    """Call `wake` inside the block after each commit of a session of `sessions` that has published.

    Replaces `Session.info` of the sessions made meanwhile: one relay per session maker.
    """
    if sessions is None:
        yield
        return
    sessions.configure(info={_WAKE: wake})
    sqlalchemy_event.listen(Session, "after_commit", _wake)  # for all sessions; again changes nothing
    try:
        yield
    finally:
        sessions.configure(info={})
