"""What tests of the consumer look at, and do to it."""

import sqlalchemy as sa

from shared.events import dead_letters
from shared.events.processor import Processor
from testkit.things import GROUP, STREAM, TYPE, Things, Watcher


async def settled(things: Things, *effects: int) -> bool:
    """The effects are these, and nothing is left to acknowledge."""
    return await things.effects() == list(effects) and await things.pending() == 0


async def things_are(things: Things, *effects: int) -> bool:
    """Like `settled`, with a pool whose connections may have been cut."""
    try:
        return await settled(things, *effects)
    except (OSError, sa.exc.DBAPIError):
        return False


async def is_effect(things: Things, n: int) -> bool:
    return n in await things.effects()


async def are_dead(things: Things, count: int) -> bool:
    async with things.sessions() as session:
        return len(await dead_letters(session)) == count


def a_processor(things: Things, watcher: Watcher) -> Processor:
    return Processor(group=GROUP, stream=STREAM, handlers={TYPE: watcher}, sessions=things.sessions, redis=things.redis)


async def forget_acknowledgements(things: Things) -> None:
    """Hand everything out again, as after a crash between commit and XACK."""
    await things.redis.xgroup_setid(STREAM, GROUP, id="0")
