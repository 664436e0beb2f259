"""Events from one service's transaction to another's, exactly once in effect, in one trace.

    publish(session, event)                                      a service's transaction
        │  outbox row, with the trace context
        ▼
    Relay        seals rows with pub_seq 1, 2, 3… and appends them; one leads per database
        │  PRODUCER span "publish <stream>"
        ▼
    Redis stream `events:<service>`, entry `<pub_seq>-0`, trimmed when every group has acknowledged
        │
        ▼
    Consumer     one per stream and group; CONSUMER span "process <stream>"
        │  inbox row and effect                                  the other service's transaction
        ├─▶ after the commit: hints, XACK
        └─▶ after several failures: dead letter, kept until replayed

Postgres is the truth. Whatever Redis forgets is shipped again; whatever comes again, the inbox skips.

A publishing service defines `outbox_table` on its metadata, calls `publish`, and runs a `Relay` in its lifespan. A
consuming one defines `inbox_table` and `dead_letter_table`, and runs a `Consumer` with a handler per event type:

    async def on_order_placed(session: AsyncSession, event: CloudEvent) -> AfterCommit | None:
        session.add(…)
"""

from shared.events.cloudevent import CloudEvent
from shared.events.consumer import Consumer
from shared.events.deadletters import DeadLetter, dead_letter_table, dead_letters, prune_replayed, request_replay
from shared.events.inbox import inbox_table
from shared.events.outbox import outbox_table, publish
from shared.events.processor import AfterCommit, Handler, Poison
from shared.events.relay import Relay
from shared.events.retention import events_since, prune_inbox, prune_outbox
from shared.events.stats import GroupStats, OutboxStats, StreamStats, outbox_stats, stream_stats
from shared.events.tracing import Trace
from shared.events.trim import acknowledged, trim

__all__ = [
    "AfterCommit",
    "CloudEvent",
    "Consumer",
    "DeadLetter",
    "GroupStats",
    "Handler",
    "OutboxStats",
    "Poison",
    "Relay",
    "StreamStats",
    "Trace",
    "acknowledged",
    "dead_letter_table",
    "dead_letters",
    "events_since",
    "inbox_table",
    "outbox_stats",
    "outbox_table",
    "prune_inbox",
    "prune_outbox",
    "prune_replayed",
    "publish",
    "request_replay",
    "stream_stats",
    "trim",
]
