"""What events do to feeds."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.notifications.tests.factories import Instance, Stage, order_event, report_event, user_event

from notifications.models import Kind
from notifications.repository import FeedRepository
from notifications.service import FeedService
from shared.events import Trace, dead_letters
from testkit.spans import Spans
from testkit.waiting import eventually


async def feed_of(instance: Instance, user: UUID, *, count: int) -> list[dict[str, Any]]:
    """The user's notifications, once there are `count`."""
    async with instance.client(user) as client:

        async def items() -> list[dict[str, Any]]:
            page = (await client.get("/notifications")).json()
            assert page["head"] == count, f"{page['head']} notifications"
            found: list[dict[str, Any]] = page["items"]
            return found

        return await eventually(items)


class TestEvents:
    async def test_each_becomes_one_notification(self, stage: Stage, instance: Instance, user: UUID) -> None:
        order_id = uuid4()
        await stage.happen(user_event(user))
        await feed_of(instance, user, count=1)
        for change in ("placed", "packed", "shipped", "cancelled"):
            await stage.happen(order_event(change, user, order_id=order_id))
        items = await feed_of(instance, user, count=5)
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

    async def test_about_a_report_say_how_far_it_is_and_how_it_ended(
        self, stage: Stage, instance: Instance, user: UUID
    ) -> None:
        report_id, url = uuid4(), "/v2/reports/r/download"
        await stage.happen(
            report_event("requested", user, report_id=report_id, kind="orders", format="csv"),
            report_event("progress", user, report_id=report_id, progress=40),
            report_event("ready", user, report_id=report_id, download_url=url, size_bytes=7),
            report_event("failed", user, report_id=report_id, reason="the store was away"),
        )
        items = await feed_of(instance, user, count=3)
        assert [(item["kind"], item["data"]) for item in items] == [
            ("report.progress", {"report_id": str(report_id), "progress": 40}),
            ("report.ready", {"report_id": str(report_id), "download_url": url, "size_bytes": 7}),
            ("report.failed", {"report_id": str(report_id), "reason": "the store was away"}),
        ]

    async def test_delivered_twice_count_once(self, stage: Stage, instance: Instance, user: UUID) -> None:
        event = order_event("placed", user)
        await stage.happen(event, event, order_event("packed", user))
        items = await feed_of(instance, user, count=2)
        assert [(item["seq"], item["kind"]) for item in items] == [(1, "order.placed"), (2, "order.packed")]

    async def test_after_a_flush_are_applied_once(self, stage: Stage, instance: Instance, user: UUID) -> None:
        events = [order_event("placed", user), order_event("packed", user)]
        await stage.happen(*events)
        await feed_of(instance, user, count=2)
        await stage.redis.flushdb()
        await stage.happen(*events, order_event("shipped", user))
        items = await feed_of(instance, user, count=3)
        assert [item["seq"] for item in items] == [1, 2, 3]

    async def test_without_a_user_are_dead_letters_and_others_go_on(
        self, stage: Stage, instance: Instance, user: UUID
    ) -> None:
        poison = order_event("placed", user).model_copy(update={"data": {"order_id": "none"}})
        await stage.happen(poison, order_event("packed", user))
        await feed_of(instance, user, count=1)
        async with stage.sessions() as session:
            letters = await dead_letters(session)
        assert [letter.event_id for letter in letters] == [poison.id]

    async def test_at_once_are_numbered_without_gap(self, stage: Stage, instance: Instance, user: UUID) -> None:
        await asyncio.gather(*(stage.add(user) for _ in range(20)))
        items = await feed_of(instance, user, count=20)
        assert [item["seq"] for item in items] == list(range(1, 21))

    async def test_rolled_back_leave_no_gap(self, stage: Stage, instance: Instance, user: UUID) -> None:
        async with stage.sessions() as session:
            await FeedService(repository=FeedRepository(session)).add(
                user_id=user,
                event_id=uuid4(),
                kind=Kind.ANNOUNCEMENT,
                subject="",
                data={},
                at=datetime.now(UTC),
                trace=Trace(),
            )
            await session.rollback()
        await stage.add(user)
        assert [item["seq"] for item in await feed_of(instance, user, count=1)] == [1]

    async def test_known_to_the_feed_are_not_added_again(self, stage: Stage, user: UUID) -> None:
        event_id = uuid4()

        async def add() -> int | None:
            async with stage.sessions() as session, session.begin():
                row = await FeedService(repository=FeedRepository(session)).add(
                    user_id=user,
                    event_id=event_id,
                    kind=Kind.ANNOUNCEMENT,
                    subject="",
                    data={},
                    at=datetime.now(UTC),
                    trace=Trace(),
                )
                return row.seq if row else None

        assert [await add(), await add()] == [1, None]


class TestTrace:
    async def test_statements_are_children_of_the_consumers_span(
        self, stage: Stage, instance: Instance, user: UUID, spans: Spans
    ) -> None:
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        await stage.happen(order_event("placed", user, traceparent=f"00-{trace_id}-b7ad6b7169203331-01"))
        process = await eventually(lambda: spans.named("process events:orders"))
        assert process[0].context is not None
        assert f"{process[0].context.trace_id:032x}" == trace_id
