"""The REST interface of feeds."""

from uuid import UUID, uuid4

import pytest
from services.notifications.tests.factories import Cluster, Instance

from notifications.settings import get_settings
from testkit.rejections import REDIS_REJECTIONS, rejecting_writes
from testkit.servers import StartValkey
from testkit.tokens import TokenIssuer


class TestPages:
    async def test_pages_list_the_feed_oldest_first(self, cluster: Cluster, instance: Instance, user: UUID) -> None:
        await cluster.add_notifications(user, count=5)
        async with instance.client(user) as client:
            first = (await client.get("/notifications", params={"limit": 3})).json()
            second = (await client.get("/notifications", params={"limit": 3, "after_seq": 3})).json()
        assert [item["seq"] for item in first["items"]] == [1, 2, 3]
        assert [item["seq"] for item in second["items"]] == [4, 5]
        assert (first["head"], first["read_seq"]) == (5, 0)
        assert set(first["items"][0]) == {"seq", "id", "kind", "data", "created_at"}

    async def test_page_is_empty_when_the_user_has_no_notifications(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            assert (await client.get("/notifications")).json() == {"items": [], "head": 0, "read_seq": 0}

    async def test_pages_have_only_the_callers_notifications(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        other_user, subject = uuid4(), str(uuid4())
        await cluster.add_notifications(other_user, subject=subject)
        async with instance.client(other_user) as client:
            assert len((await client.get("/notifications")).json()["items"]) == 1
            assert len((await client.get(f"/notifications/for-subject/{subject}")).json()) == 1
        async with instance.client(user) as client:
            assert (await client.get("/notifications")).json()["items"] == []
            assert (await client.get(f"/notifications/for-subject/{subject}")).json() == []

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "after_seq=-1", f"after_seq={2**63}", "limit=x"])
    async def test_request_is_rejected_when_a_parameter_is_invalid(
        self, instance: Instance, user: UUID, query: str
    ) -> None:
        async with instance.client(user) as client:
            response = await client.get(f"/notifications?{query}")
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == query.partition("=")[0]

    async def test_requests_are_unauthorized_when_the_token_is_missing_or_invalid(
        self, instance: Instance, user: UUID
    ) -> None:
        async with instance.client(user) as client:
            del client.headers["Authorization"]
            assert (await client.get("/notifications")).status_code == 401
            assert (await client.post("/ws-tickets")).status_code == 401
            client.headers["Authorization"] = f"Bearer {TokenIssuer().issue(user)}"
            assert (await client.get("/notifications")).status_code == 401


class TestSummary:
    async def test_summary_has_the_unread_count_and_the_newest_notifications(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=4)
        await cluster.add_notifications(uuid4())
        async with instance.client(user) as client:
            await client.post("/notifications/read", json={"up_to": 1})
            summary = (await client.get("/notifications/summary", params={"latest": 2})).json()
            page = (await client.get("/notifications", params={"after_seq": 2})).json()
        assert summary == {"unread": 3, "latest": page["items"][::-1]}

    async def test_summary_is_empty_when_the_user_has_no_notifications(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            assert (await client.get("/notifications/summary")).json() == {"unread": 0, "latest": []}


class TestMarkRead:
    async def test_read_mark_only_advances_up_to_the_head(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=3)
        async with instance.client(user) as client:
            read_seqs = [
                (await client.post("/notifications/read", json={"up_to": up_to})).json()["read_seq"]
                for up_to in (2, 1, 99)
            ]
            page = (await client.get("/notifications")).json()
        assert read_seqs == [2, 2, 3]
        assert page["read_seq"] == 3

    async def test_read_mark_is_unchanged_when_the_feed_is_empty(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            response = await client.post("/notifications/read", json={"up_to": 1})
        assert response.json() == {"head": 0, "read_seq": 0}

    @pytest.mark.parametrize(
        ("body", "status"),
        [("{", 400), ("{}", 422), ('{"up_to": -1}', 422), ('{"up_to": 1e30}', 422), ('{"up_to": "all"}', 422)],
    )
    async def test_request_is_rejected_when_the_body_is_invalid(
        self, instance: Instance, user: UUID, body: str, status: int
    ) -> None:
        async with instance.client(user) as client:
            response = await client.post(
                "/notifications/read", content=body, headers={"Content-Type": "application/json"}
            )
        assert response.status_code == status
        assert response.headers["Content-Type"] == "application/problem+json"


class TestTickets:
    async def test_ticket_has_its_lifetime_and_the_url_of_the_websocket(self, instance: Instance, user: UUID) -> None:
        async with instance.client(user) as client:
            ticket = (await client.post("/ws-tickets")).json()
        assert (ticket["expires_in"], ticket["url"]) == (30, "ws://localhost:8003/ws")
        assert len(ticket["ticket"]) >= 32

    async def test_ticket_url_is_read_from_the_injected_settings(self, instance: Instance, user: UUID) -> None:
        settings = instance.app.state.settings.model_copy(update={"public_ws_url": "wss://shop.example/ws"})
        instance.app.dependency_overrides[get_settings] = lambda: settings
        async with instance.client(user) as client:
            ticket = (await client.post("/ws-tickets")).json()
        assert ticket["url"] == "wss://shop.example/ws"

    async def test_tickets_return_503_and_the_feed_is_served_when_redis_is_unavailable(
        self, cluster: Cluster, start_valkey: StartValkey, user: UUID
    ) -> None:
        valkey = start_valkey()
        instance = await cluster.start_instance(redis_url=valkey.url)
        valkey.kill()
        async with instance.client(user) as client:
            assert (await client.post("/ws-tickets")).status_code == 503
            assert (await client.get("/notifications")).status_code == 200
            ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")

    @pytest.mark.parametrize("fault", REDIS_REJECTIONS)
    async def test_tickets_return_503_when_redis_rejects_writes(
        self, cluster: Cluster, start_valkey: StartValkey, user: UUID, fault: str
    ) -> None:
        valkey = start_valkey()
        instance = await cluster.start_instance(redis_url=valkey.url)
        async with instance.client(user) as client:
            async with rejecting_writes(valkey.url, fault):
                rejected = await client.post("/ws-tickets")
                assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "1")
                assert (await client.get("/notifications")).status_code == 200
                ready = await client.get("/health/ready")
                assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert (await client.post("/ws-tickets")).status_code == 200
