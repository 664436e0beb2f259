"""Conditions that tests of relays and consumers wait for, and actions on a sample service."""

import sqlalchemy as sa

from shared.messaging import list_dead_letters
from shared.messaging.processor import EventProcessor
from testkit.databases import fetch_value
from testkit.sample_service import GROUP, STREAM, TYPE, EffectHandler, SampleService

RELAY_CONNECTIONS = "pg_stat_activity WHERE application_name LIKE 'relay%' AND datname = current_database()"
FOLLOWERS = f"{RELAY_CONNECTIONS} AND state = 'idle' AND query LIKE 'SELECT pg_try_advisory_lock%'"
ADVISORY_LOCKS = (
    "pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()"
)


async def has_entries(sample: SampleService, count: int) -> bool:
    return len(await sample.stream()) == count


async def is_outbox_appended(sample: SampleService, count: int) -> bool:
    """Return whether outbox and stream have the same events, numbered 1..`count`."""
    stream, outbox = await sample.stream(), await sample.outbox()
    return stream == outbox and [entry_id for entry_id, _ in stream] == [f"{seq}-0" for seq in range(1, count + 1)]


async def has_acknowledged_up_to(sample: SampleService, entry_id: bytes) -> bool:
    """Return whether the group has read the stream up to this entry, and has acknowledged all it has read."""
    if await sample.pending():
        return False
    [group] = await sample.redis.xinfo_groups(STREAM)
    return bool(group["last-delivered-id"] == entry_id)


async def has_applied(sample: SampleService, *effects: int) -> bool:
    """Return whether the effects are these, in this order, and all delivered entries are acknowledged."""
    return await sample.effects() == list(effects) and await sample.pending() == 0


async def has_applied_after_outage(sample: SampleService, *effects: int) -> bool:
    """Return the result of `has_applied`, or False if a connection of the pool was lost."""
    try:
        return await has_applied(sample, *effects)
    except (OSError, sa.exc.DBAPIError):
        return False


async def has_effect(sample: SampleService, number: int) -> bool:
    return number in await sample.effects()


async def has_dead_letters(sample: SampleService, count: int) -> bool:
    async with sample.sessions() as session:
        return len(await list_dead_letters(session)) == count


def create_processor(sample: SampleService, handler: EffectHandler) -> EventProcessor:
    return EventProcessor(
        group=GROUP,
        stream=STREAM,
        handlers={TYPE: handler},
        sessions=sample.sessions,
        redis=sample.redis,
    )


async def redeliver_all(sample: SampleService) -> None:
    """Make Redis deliver all entries again, as after a crash between the commit and XACK."""
    await sample.redis.xgroup_setid(STREAM, GROUP, id="0")


async def has_rows(sample: SampleService, source: str, count: int) -> bool:
    query = "SELECT count(*) FROM " + source  # noqa: S608 - the constants above
    return bool(await fetch_value(sample.database_url, query) == count)
