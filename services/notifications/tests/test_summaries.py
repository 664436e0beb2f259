"""What the gateway splices into its own answers."""

from uuid import UUID, uuid4

from services.notifications.tests.factories import Instance, Stage


class TestSummary:
    async def test_counts_the_unread_and_shows_the_newest(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user, count=4)
        await stage.add(uuid4())
        async with instance.client(user) as client:
            await client.post("/notifications/read", json={"up_to": 1})
            digest = (await client.get("/notifications/summary", params={"latest": 2})).json()
            page = (await client.get("/notifications", params={"after_seq": 2})).json()
        assert digest == {"unread": 3, "latest": page["items"][::-1]}

    async def test_of_nobody_yet_is_empty(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            assert (await client.get("/notifications/summary")).json() == {"unread": 0, "latest": []}
