"""The feed over REST."""

from uuid import UUID, uuid4

import pytest
from services.notifications.tests.factories import Instance, Stage

from notifications.settings import get_settings
from testkit.refusals import REDIS_REFUSALS, refusing_writes
from testkit.servers import StartValkey
from testkit.tokens import TokenIssuer


class TestPages:
    async def test_go_through_the_feed_oldest_first(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user, count=5)
        async with instance.client(user) as client:
            first = (await client.get("/notifications", params={"limit": 3})).json()
            second = (await client.get("/notifications", params={"limit": 3, "after_seq": 3})).json()
        assert [item["seq"] for item in first["items"]] == [1, 2, 3]
        assert [item["seq"] for item in second["items"]] == [4, 5]
        assert (first["head"], first["read_seq"]) == (5, 0)
        assert set(first["items"][0]) == {"seq", "id", "kind", "data", "created_at"}

    async def test_of_nobody_yet_are_empty(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            assert (await client.get("/notifications")).json() == {"items": [], "head": 0, "read_seq": 0}

    async def test_show_only_the_callers_own(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(uuid4())
        async with instance.client(user) as client:
            assert (await client.get("/notifications")).json()["items"] == []
            assert (await client.get("/notifications/for-subject/" + str(uuid4()))).json() == []

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "after_seq=-1", f"after_seq={2**63}", "limit=x"])
    async def test_bad_parameters_are_refused(self, instance: Instance, user: UUID, query: str) -> None:
        async with instance.client(user) as client:
            response = await client.get(f"/notifications?{query}")
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == query.partition("=")[0]

    async def test_need_a_token(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            del client.headers["Authorization"]
            assert (await client.get("/notifications")).status_code == 401
            assert (await client.post("/ws-tickets")).status_code == 401
            client.headers["Authorization"] = f"Bearer {TokenIssuer().issue(user)}"
            assert (await client.get("/notifications")).status_code == 401


class TestMarkRead:
    async def test_moves_forward_within_the_feed_only(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await stage.add(user, count=3)
        async with instance.client(user) as client:
            marks = [
                (await client.post("/notifications/read", json={"up_to": up_to})).json()["read_seq"]
                for up_to in (2, 1, 99)
            ]
            page = (await client.get("/notifications")).json()
        assert marks == [2, 2, 3]
        assert page["read_seq"] == 3

    async def test_of_an_empty_feed_changes_nothing(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            response = await client.post("/notifications/read", json={"up_to": 1})
        assert response.json() == {"head": 0, "read_seq": 0}

    @pytest.mark.parametrize("body", ["{", "{}", '{"up_to": -1}', '{"up_to": 1e30}', '{"up_to": "all"}'])
    async def test_bad_bodies_are_refused(self, instance: Instance, user: UUID, body: str) -> None:
        async with instance.client(user) as client:
            response = await client.post(
                "/notifications/read", content=body, headers={"Content-Type": "application/json"}
            )
        assert response.status_code in {400, 422}
        assert response.headers["Content-Type"] == "application/problem+json"


class TestTickets:
    async def test_say_where_to_connect(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            ticket = (await client.post("/ws-tickets")).json()
        assert (ticket["expires_in"], ticket["url"]) == (30, "ws://localhost:8003/ws")
        assert len(ticket["ticket"]) >= 32

    async def test_use_the_injected_settings(self, instance: Instance, user: UUID) -> None:
        settings = instance.app.state.settings.model_copy(update={"public_ws_url": "wss://shop.example/ws"})
        instance.app.dependency_overrides[get_settings] = lambda: settings
        async with instance.client(user) as client:
            ticket = (await client.post("/ws-tickets")).json()
        assert ticket["url"] == "wss://shop.example/ws"

    async def test_are_unavailable_without_redis_while_the_feed_is_served(
        self, stage: Stage, start_valkey: StartValkey, user: UUID
    ) -> None:
        valkey = start_valkey()
        instance = await stage.start(redis_url=valkey.url)
        valkey.kill()
        async with instance.client(user) as client:
            assert (await client.post("/ws-tickets")).status_code == 503
            assert (await client.get("/notifications")).status_code == 200
            ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")

    @pytest.mark.parametrize("refusal", REDIS_REFUSALS)
    async def test_are_unavailable_while_redis_refuses_writes(
        self, stage: Stage, start_valkey: StartValkey, user: UUID, refusal: str
    ) -> None:
        valkey = start_valkey()
        instance = await stage.start(redis_url=valkey.url)
        async with instance.client(user) as client:
            async with refusing_writes(valkey.url, refusal):
                rejected = await client.post("/ws-tickets")
                assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "1")
                assert (await client.get("/notifications")).status_code == 200
                ready = await client.get("/health/ready")
                assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert (await client.post("/ws-tickets")).status_code == 200
