"""Events between services: transactional outbox, Redis stream, inbox. Each event takes effect exactly once.

    publish(session, event)                                      transaction of the publisher
        │  outbox row, with the trace context
        ▼
    Relay        assigns pub_seq 1, 2, 3… to rows and appends them; one leader per database
        │  PRODUCER span "publish <stream>"
        ▼
    Redis stream `events:<service>`, entry `<pub_seq>-0`, trimmed when all groups have acknowledged
        │
        ▼
    Consumer     one per stream and group; CONSUMER span "process <stream>"
        │  inbox row and effect                                  transaction of the consumer
        ├─▶ after the commit: wake-ups, XACK
        └─▶ after several failures: dead letter, kept until it is replayed

PostgreSQL is the source of truth. The relay appends events again that Redis has lost, and the inbox skips events that
were applied before.

A publishing service defines `outbox_table` on its metadata, calls `publish`, and runs a `Relay` in its lifespan. A
consuming service defines `inbox_table` and `dead_letter_table`, and runs a `Consumer` with a handler per event type:

    async def on_order_placed(session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        session.add(…)

Read `outbox`, `relay` and `appender` for the publisher, `consumer`, `processor`, `inbox` and `dead_letters` for the
consumer, and `retention`, `trim` and `low_water_mark` for how old events are deleted.
"""

from shared.messaging.cloudevent import CloudEvent
from shared.messaging.consumer import Consumer, ConsumerLimits
from shared.messaging.dead_letters import (
    DeadLetter,
    dead_letter_table,
    list_dead_letters,
    prune_dead_letters,
    request_replay,
)
from shared.messaging.inbox import inbox_table
from shared.messaging.outbox import outbox_table, publish
from shared.messaging.processor import AfterCommit, EventHandler, PoisonEventError
from shared.messaging.relay import Relay
from shared.messaging.retention import events_since, prune_inbox, prune_outbox
from shared.messaging.stats import GroupStats, StreamStats, get_stream_stats
from shared.messaging.tracing import TraceContext
from shared.messaging.trim import get_acknowledged_seq, trim_stream

__all__ = [
    "AfterCommit",
    "CloudEvent",
    "Consumer",
    "ConsumerLimits",
    "DeadLetter",
    "EventHandler",
    "GroupStats",
    "PoisonEventError",
    "Relay",
    "StreamStats",
    "TraceContext",
    "dead_letter_table",
    "events_since",
    "get_acknowledged_seq",
    "get_stream_stats",
    "inbox_table",
    "list_dead_letters",
    "outbox_table",
    "prune_dead_letters",
    "prune_inbox",
    "prune_outbox",
    "publish",
    "request_replay",
    "trim_stream",
]
