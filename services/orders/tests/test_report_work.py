"""Reports as the worker sees them that makes them: each call may come twice, late, or from one that was given up."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from services.orders.tests.factories import Caller, Shop, statements

from testkit.spans import Spans


class Work:
    """A report of `customer`, and the worker's calls about it."""

    def __init__(self, shop: Shop, report: dict[str, Any]) -> None:
        self.shop, self.id = shop, report["id"]

    async def call(self, name: str, **body: Any) -> httpx.Response:
        return await self.shop.warehouse.post(f"/internal/reports/{self.id}/{name}", body)

    async def said(self, name: str, **body: Any) -> dict[str, Any]:
        answer = await self.call(name, **body)
        assert answer.status_code == 200, answer.text
        report: dict[str, Any] = answer.json()
        return report

    async def orders(self, **params: Any) -> dict[str, Any]:
        answer = await self.shop.warehouse.get(f"/internal/reports/{self.id}/orders", **params)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def all_orders(self, *, limit: int) -> list[str]:
        ids: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        while True:
            page = await self.orders(**params)
            ids += [order["id"] for order in page["items"]]
            if page["next_cursor"] is None:
                return ids
            params["cursor"] = page["next_cursor"]

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What was published about it since it was asked for."""
        rows = await self.shop.events_of(self.id)
        return [(row["type"].split(".")[2], orjson.loads(row["data"])) for row in rows][1:]


async def ask(shop: Shop, caller: Caller, **changes: Any) -> Work:
    return Work(shop, (await caller.request_report(**changes)).json())


class TestOrdersOfAReport:
    async def test_are_the_customers_own_oldest_first(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        placed = [(await customer.placed((sku, 1)))["id"] for _ in range(5)]
        await shop.caller().placed((sku, 1))
        work = await ask(shop, customer)
        assert (await work.said("begin"))["total"] == 5
        assert await work.all_orders(limit=2) == placed

    async def test_are_everybodys_for_an_admin(self, shop: Shop) -> None:
        sku = await shop.product()
        placed = [(await shop.caller().placed((sku, 1)))["id"] for _ in range(3)]
        work = await ask(shop, shop.caller(role="admin"))
        assert (await work.said("begin"))["total"] == 3
        assert await work.all_orders(limit=2) == placed

    async def test_lie_in_the_period_without_its_end(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        start = datetime(2026, 11, 2, tzinfo=UTC)
        moments = [start - timedelta(microseconds=1), start, start + timedelta(hours=23), start + timedelta(days=1)]
        placed = []
        for moment in moments:
            order = await customer.placed((sku, 1))
            placed.append(order["id"])
            await shop.database.execute("UPDATE customer_order SET created_at = $1 WHERE id = $2", moment, order["id"])
        work = await ask(shop, customer, from_="2026-11-02", to="2026-11-02")
        assert (await work.said("begin"))["total"] == 2
        assert await work.all_orders(limit=1) == placed[1:3]

    async def test_cost_two_statements_a_page_and_one_for_the_report(self, shop: Shop, spans: Spans) -> None:
        sku, customer = await shop.product(), shop.caller()
        for _ in range(20):
            await customer.placed((sku, 1))
        work = await ask(shop, customer)
        spans.clear()
        assert len((await work.orders(limit=20))["items"]) == 20
        assert statements(spans) == 3

    async def test_of_an_unknown_report_or_a_foreign_cursor_are_refused(self, shop: Shop) -> None:
        unknown = await shop.warehouse.get(f"/internal/reports/{uuid4()}/orders")
        assert unknown.json()["type"].endswith("/report-not-found")
        work = await ask(shop, shop.caller())
        refused = await shop.warehouse.get(f"/internal/reports/{work.id}/orders", cursor="nonsense")
        assert refused.status_code == 400


class TestProgress:
    async def test_is_kept_as_told_and_published_in_steps(self, shop: Shop) -> None:
        work = await ask(shop, shop.caller())
        assert (await work.said("begin"))["object_key"] == f"reports/{work.id}.csv"
        for progress in (*range(0, 99, 7), 98, 99):
            assert (await work.said("progress", progress=progress))["progress"] == progress
        events = await work.events()
        assert [(kind, data["progress"]) for kind, data in events] == [
            ("progress", told) for told in (14, 21, 35, 42, 56, 63, 70, 84, 91)
        ]
        assert {data["report_id"] for _, data in events} == {work.id}

    async def test_never_falls_and_what_was_overtaken_is_not_published(self, shop: Shop) -> None:
        work = await ask(shop, shop.caller())
        for told, kept in ((40, 40), (40, 40), (10, 40), (45, 45), (60, 60)):
            assert (await work.said("progress", progress=told))["progress"] == kept
        assert [data["progress"] for _, data in await work.events()] == [40, 60]

    @pytest.mark.parametrize("progress", [-1, 100, None, "much"])
    async def test_is_in_percent_and_a_hundred_is_not_said_this_way(self, shop: Shop, progress: object) -> None:
        work = await ask(shop, shop.caller())
        assert (await work.call("progress", progress=progress)).status_code == 422


class TestEnds:
    async def test_done_is_said_once_however_often_it_is_told(self, shop: Shop) -> None:
        customer = shop.caller()
        work = await ask(shop, customer)
        first, second = [await work.said("finish", size_bytes=7) for _ in range(2)]
        assert first == second
        [(kind, data)] = await work.events()
        assert kind == "ready"
        assert data == {
            "report_id": work.id,
            "user_id": str(customer.id),
            "download_url": first["download_url"],
            "size_bytes": 7,
        }

    async def test_failed_is_said_once_with_its_reason(self, shop: Shop) -> None:
        customer = shop.caller()
        work = await ask(shop, customer)
        await work.said("begin")
        for _ in range(2):
            report = await work.said("fail", reason="the store was away")
        assert (report["status"], report["error"], report["download_url"]) == ("failed", "the store was away", None)
        [(kind, data)] = await work.events()
        assert (kind, data["reason"], data["user_id"]) == ("failed", "the store was away", str(customer.id))

    async def test_are_final(self, shop: Shop) -> None:
        ends: dict[str, dict[str, Any]] = {"finish": {"size_bytes": 7}, "fail": {"reason": "why"}}
        for end, other in (("finish", "fail"), ("fail", "finish")):
            work = await ask(shop, shop.caller())
            await work.said(end, **ends[end])
            late_calls: list[tuple[str, dict[str, Any]]] = [
                ("begin", {}),
                ("progress", {"progress": 50}),
                (other, ends[other]),
            ]
            for late, body in late_calls:
                refused = await work.call(late, **body)
                assert refused.status_code == 409
                assert refused.json()["type"].endswith("/report-finished")
            assert len(await work.events()) == 1


class TestHousekeeping:
    async def test_ends_what_nobody_makes_and_its_customer_is_told(self, shop: Shop) -> None:
        customer = shop.caller()
        asked, begun, done, young = [await ask(shop, customer) for _ in range(4)]
        await begun.said("begin")
        await done.said("finish", size_bytes=1)
        await shop.database.execute(
            "UPDATE report SET created_at = now() - interval '25 hours' WHERE id <> $1", young.id
        )
        for ended in (2, 0):
            tidied = await shop.warehouse.post("/internal/housekeeping", {})
            assert tidied.json()["removed"]["lost_reports"] == ended
        statuses = [
            (await customer.get(f"/reports/{work.id}")).json()["status"] for work in (asked, begun, done, young)
        ]
        assert statuses == ["failed", "failed", "done", "queued"]
        for work in (asked, begun):
            [(kind, data)] = await work.events()
            assert (kind, data["user_id"]) == ("failed", str(customer.id))
            assert (await work.call("begin")).json()["type"].endswith("/report-finished")

    async def test_deletes_few_enough_at_once_for_a_slow_store(self, shop: Shop) -> None:
        work = await ask(shop, shop.caller())
        await work.said("finish", size_bytes=1)
        await shop.database.execute(
            "INSERT INTO report SELECT (jsonb_populate_record(report, jsonb_build_object('id', gen_random_uuid()))).*"
            " FROM report, generate_series(1, 200)"
        )
        await shop.database.execute("UPDATE report SET finished_at = now() - interval '31 days'")
        tidied = [(await shop.warehouse.post("/internal/housekeeping", {})).json() for _ in range(2)]
        assert [(one["removed"]["reports"], one["more"]) for one in tidied] == [(200, True), (1, False)]

    async def test_deletes_what_was_kept_long_enough_with_its_file(self, shop: Shop) -> None:
        customer = shop.caller()
        old, without_file, young, running = [await ask(shop, customer) for _ in range(4)]
        for work in (old, young):
            file = shop.objects / (await work.said("begin"))["object_key"]
            file.parent.mkdir(exist_ok=True)
            file.write_text("x")
            file.with_name(f"{file.name}.part").write_text("begun again, and given up")
        for work in (old, without_file, young):
            await work.said("finish", size_bytes=1)
        await shop.database.execute("UPDATE report SET created_at = now() - interval '31 days'")
        await shop.database.execute(
            "UPDATE report SET finished_at = now() - interval '31 days' WHERE id = ANY($1)", [old.id, without_file.id]
        )
        for removed in (2, 0):
            assert (await shop.warehouse.post("/internal/housekeeping", {})).json()["removed"]["reports"] == removed
        statuses = [(await customer.get(f"/reports/{work.id}")).status_code for work in (old, young, running)]
        assert statuses == [404, 200, 200]
        assert sorted(file.name for file in shop.objects.rglob("*.*")) == [f"{young.id}.csv", f"{young.id}.csv.part"]
