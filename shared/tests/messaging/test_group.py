"""The idle members of a consumer group and its deliveries, on a real server."""

from shared.messaging.group import MEMBER_RETENTION_S, ConsumerGroup
from testkit.sample_service import GROUP, STREAM, SampleService
from testkit.waiting import eventually


def create_member(sample: SampleService, name: str, *, member_retention_s: float = MEMBER_RETENTION_S) -> ConsumerGroup:
    return ConsumerGroup(
        redis=sample.redis,
        stream=STREAM,
        group=GROUP,
        consumer=name,
        claim_idle_s=0,
        member_retention_s=member_retention_s,
    )


async def list_members(sample: SampleService) -> set[bytes]:
    return {member["name"] for member in await sample.redis.xinfo_consumers(STREAM, GROUP)}


class TestJoin:
    async def test_join_deletes_members_that_are_idle_and_have_no_pending_entries(self, sample: SampleService) -> None:
        await sample.send(1)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "with pending", {STREAM: ">"})
        await sample.redis.xgroup_createconsumer(STREAM, GROUP, "without pending")
        await create_member(sample, "new").join()
        assert await list_members(sample) == {b"with pending", b"without pending"}

        async def delete_idle_member() -> bool:
            """Join, and return whether the idle member is gone. Its idle time must be at least one millisecond."""
            await create_member(sample, "new", member_retention_s=0).join()
            return await list_members(sample) == {b"with pending"}

        await eventually(delete_idle_member)


class TestDeliveries:
    async def test_repeated_reads_of_one_member_count_as_one_delivery(self, sample: SampleService) -> None:
        """A consumer that cannot reach PostgreSQL reads its pending entries again and again."""
        await sample.send(1, 2)
        group = create_member(sample, "member")
        await group.join()
        assert len(await group.read_new()) == 2
        for _ in range(20):
            assert [len(entries) async for entries in group.read_pending()] == [2]
        assert [await group.count_deliveries(entry_id) for entry_id in ("1-0", "2-0")] == [1, 1]

    async def test_each_claim_counts_as_a_delivery(self, sample: SampleService) -> None:
        await sample.send(1)
        await create_member(sample, "first").join()
        await create_member(sample, "first").read_new()
        for name in ("second", "third"):
            assert [entry.id async for entry in create_member(sample, name).claim_stale()] == ["1-0"]
        assert await create_member(sample, "third").count_deliveries("1-0") == 3
