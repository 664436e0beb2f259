"""The notifications that the consumer adds to feeds for events."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from services.notifications.tests.factories import (
    Cluster,
    Instance,
    add_notification,
    order_event,
    registration_event,
    report_event,
)

from shared.messaging import list_dead_letters
from testkit.spans import Spans
from testkit.waiting import eventually


async def wait_for_feed(instance: Instance, user: UUID, *, count: int) -> list[dict[str, Any]]:
    """Wait until the user has `count` notifications, and return them."""
    async with instance.client(user) as client:

        async def read_items() -> list[dict[str, Any]]:
            page = (await client.get("/notifications")).json()
            assert page["head"] == count, f"{page['head']} notifications"
            found: list[dict[str, Any]] = page["items"]
            return found

        return await eventually(read_items)


class TestEvents:
    async def test_each_event_adds_one_notification(self, cluster: Cluster, instance: Instance, user: UUID) -> None:
        order_id = uuid4()
        await cluster.append_events(registration_event(user))
        await wait_for_feed(instance, user, count=1)
        for change in ("placed", "packed", "shipped", "cancelled"):
            await cluster.append_events(order_event(change, user, order_id=order_id))
        items = await wait_for_feed(instance, user, count=5)
        assert [item["kind"] for item in items] == [
            "user.registered",
            "order.placed",
            "order.packed",
            "order.shipped",
            "order.cancelled",
        ]
        assert items[1]["data"] == {
            "order_id": str(order_id),
            "status": "placed",
            "total_cents": 1200,
            "currency": "EUR",
        }
        async with instance.client(user) as client:
            about = (await client.get(f"/notifications/for-subject/{order_id}")).json()
        assert [item["seq"] for item in about] == [2, 3, 4, 5]

    async def test_report_events_add_notifications_of_progress_and_outcome(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        report_id, url = uuid4(), "/v2/reports/r/download"
        await cluster.append_events(
            report_event("requested", user, report_id=report_id, kind="orders", format="csv"),
            report_event("progress", user, report_id=report_id, progress=40),
            report_event("ready", user, report_id=report_id, download_url=url, size_bytes=7),
            report_event("failed", user, report_id=report_id, reason="the store was unavailable"),
        )
        items = await wait_for_feed(instance, user, count=3)
        assert [(item["kind"], item["data"]) for item in items] == [
            ("report.progress", {"report_id": str(report_id), "progress": 40}),
            ("report.ready", {"report_id": str(report_id), "download_url": url, "size_bytes": 7}),
            ("report.failed", {"report_id": str(report_id), "reason": "the store was unavailable"}),
        ]

    async def test_event_adds_one_notification_when_it_is_delivered_twice(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        event = order_event("placed", user)
        await cluster.append_events(event, event, order_event("packed", user))
        items = await wait_for_feed(instance, user, count=2)
        assert [(item["seq"], item["kind"]) for item in items] == [(1, "order.placed"), (2, "order.packed")]

    async def test_event_is_applied_once_when_redis_was_flushed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        events = [order_event("placed", user), order_event("packed", user)]
        await cluster.append_events(*events)
        await wait_for_feed(instance, user, count=2)
        await cluster.redis.flushdb()
        await cluster.append_events(*events, order_event("shipped", user))
        items = await wait_for_feed(instance, user, count=3)
        assert [item["kind"] for item in items] == ["order.placed", "order.packed", "order.shipped"]

    async def test_event_is_dead_lettered_and_later_ones_are_applied_when_it_has_no_user(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        without_user = order_event("placed", user).model_copy(update={"data": {"order_id": "none"}})
        await cluster.append_events(without_user, order_event("packed", user))
        await wait_for_feed(instance, user, count=1)
        async with cluster.sessions() as session:
            dead_letters = await list_dead_letters(session)
        assert [dead_letter.event_id for dead_letter in dead_letters] == [without_user.id]

    async def test_notifications_are_numbered_without_gaps_when_added_concurrently(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await asyncio.gather(*(cluster.add_notifications(user) for _ in range(20)))
        items = await wait_for_feed(instance, user, count=20)
        assert [item["seq"] for item in items] == list(range(1, 21))

    async def test_feed_has_no_gap_when_a_transaction_is_rolled_back(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        async with cluster.sessions() as session:
            await add_notification(session, user)
            await session.rollback()
        await cluster.add_notifications(user)
        assert [item["seq"] for item in await wait_for_feed(instance, user, count=1)] == [1]

    async def test_event_is_not_added_again_when_the_feed_has_it(self, cluster: Cluster, user: UUID) -> None:
        event_id = uuid4()
        async with cluster.sessions() as session:
            first = await add_notification(session, user, event_id=event_id)
            await session.commit()
            second = await add_notification(session, user, event_id=event_id)
        assert first is not None
        assert second is None


class TestTrace:
    async def test_consumer_span_continues_the_trace_of_the_event(
        self, cluster: Cluster, instance: Instance, user: UUID, spans: Spans
    ) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        await cluster.append_events(order_event("placed", user, traceparent=f"00-{trace_id}-b7ad6b7169203331-01"))
        [consumer_span] = await eventually(lambda: spans.named("process events:orders"))
        assert consumer_span.context is not None
        assert f"{consumer_span.context.trace_id:032x}" == trace_id
