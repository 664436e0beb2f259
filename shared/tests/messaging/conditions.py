"""Conditions and actions for the tests of the consumer."""

import sqlalchemy as sa

from shared.messaging import list_dead_letters
from shared.messaging.processor import EventProcessor
from testkit.sample_service import GROUP, STREAM, TYPE, EffectHandler, SampleService


async def has_applied(sample: SampleService, *effects: int) -> bool:
    """Return whether these effects exist, in this order, and all entries are acknowledged."""
    return await sample.effects() == list(effects) and await sample.pending() == 0


async def has_applied_after_outage(sample: SampleService, *effects: int) -> bool:
    """Return the result of `has_applied`, or False if a connection of the pool was lost."""
    try:
        return await has_applied(sample, *effects)
    except (OSError, sa.exc.DBAPIError):
        return False


async def has_effect(sample: SampleService, n: int) -> bool:
    return n in await sample.effects()


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


async def delete_acknowledgements(sample: SampleService) -> None:
    """Have all entries delivered again, as after a crash between the commit and XACK."""
    await sample.redis.xgroup_setid(STREAM, GROUP, id="0")
