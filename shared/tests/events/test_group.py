"""A group's membership on a real server: what counts as a delivery."""

from shared.events.group import Group
from testkit.things import GROUP, STREAM, Things


def member(things: Things, name: str) -> Group:
    return Group(redis=things.redis, stream=STREAM, group=GROUP, consumer=name, claim_idle_s=0)


class TestDeliveries:
    async def test_an_outage_is_none_however_long(self, things: Things) -> None:
        """Each try of a consumer that cannot reach Postgres begins with what it left unfinished."""
        await things.send(1, 2)
        group = member(things, "patient")
        await group.join()
        assert len(await group.next()) == 2
        for _ in range(20):
            assert [len(entries) async for entries in group.unfinished()] == [2]
        assert [await group.deliveries(entry_id) for entry_id in ("1-0", "2-0")] == [1, 1]

    async def test_each_consumer_that_dies_of_an_entry_is_one(self, things: Things) -> None:
        await things.send(1)
        await member(things, "first").join()
        await member(things, "first").next()
        for name in ("second", "third"):
            assert [entry.id async for entry in member(things, name).abandoned()] == ["1-0"]
        assert await member(things, "third").deliveries("1-0") == 3
