from collections.abc import AsyncIterator

import pytest

from testkit.things import Things, open_things


@pytest.fixture
async def things(database: str, redis_url: str) -> AsyncIterator[Things]:
    """A small publishing and consuming service over an empty database and an empty Redis."""
    async with open_things(database_url=database, redis_url=redis_url) as opened:
        yield opened
