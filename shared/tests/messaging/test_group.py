"""The count of deliveries of a consumer group on a real server."""

from shared.messaging.group import ConsumerGroup
from testkit.sample_service import GROUP, STREAM, SampleService


def create_member(sample: SampleService, name: str) -> ConsumerGroup:
    return ConsumerGroup(redis=sample.redis, stream=STREAM, group=GROUP, consumer=name, claim_idle_s=0)


class TestDeliveries:
    async def test_repeated_reads_of_one_member_count_as_one_delivery(self, sample: SampleService) -> None:
        """A consumer that cannot reach PostgreSQL reads its pending entries again and again."""
        await sample.send(1, 2)
        group = create_member(sample, "patient")
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
