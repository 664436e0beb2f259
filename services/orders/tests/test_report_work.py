"""The calls of the report worker, which can be repeated and late, and the cleanup of reports."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from services.orders.tests.clients import ApiClient
from services.orders.tests.factories import Shop, event_name

from orders.service.cleanup import BATCH
from testkit.queries import Queries


class ReportWorker:
    """The worker's calls about one report."""

    def __init__(self, shop: Shop, report: dict[str, Any]) -> None:
        self.shop, self.id = shop, report["id"]

    async def call(self, name: str, **body: Any) -> httpx.Response:
        """Call `begin`, `progress`, `finish` or `fail`."""
        return await self.shop.worker.post(f"/internal/reports/{self.id}/{name}", body)

    async def call_successfully(self, name: str, **body: Any) -> dict[str, Any]:
        response = await self.call(name, **body)
        assert response.status_code == 200, response.text
        report: dict[str, Any] = response.json()
        return report

    async def list_orders(self, **params: Any) -> dict[str, Any]:
        response = await self.shop.worker.get(f"/internal/reports/{self.id}/orders", **params)
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    async def list_all_order_ids(self, *, limit: int) -> list[str]:
        ids: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        while True:
            page = await self.list_orders(**params)
            ids += [order["id"] for order in page["items"]]
            if page["next_cursor"] is None:
                return ids
            params["cursor"] = page["next_cursor"]

    async def list_events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the name and the data of each event of the report after `requested`."""
        rows = await self.shop.events_of(self.id)
        return [(event_name(row), orjson.loads(row["data"])) for row in rows][1:]


async def request_report(shop: Shop, caller: ApiClient, **changes: Any) -> ReportWorker:
    """Request a report and return the worker's calls about it."""
    return ReportWorker(shop, (await caller.request_report(**changes)).json())


class TestOrdersOfAReport:
    async def test_orders_are_those_of_the_customer_oldest_first(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        placed = [(await customer.create_order((sku, 1)))["id"] for _ in range(5)]
        await shop.client().create_order((sku, 1))
        worker = await request_report(shop, customer)
        assert (await worker.call_successfully("begin"))["total"] == 5
        assert await worker.list_all_order_ids(limit=2) == placed

    async def test_orders_are_of_all_customers_when_an_admin_requests_the_report(self, shop: Shop) -> None:
        sku = await shop.create_product()
        placed = [(await shop.client().create_order((sku, 1)))["id"] for _ in range(3)]
        worker = await request_report(shop, shop.client(role="admin"))
        assert (await worker.call_successfully("begin"))["total"] == 3
        assert await worker.list_all_order_ids(limit=2) == placed

    async def test_orders_are_in_the_half_open_period(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        start = datetime(2026, 11, 2, tzinfo=UTC)
        end = start + timedelta(days=1)
        placed = []
        for created_at in (start - timedelta(microseconds=1), start, end - timedelta(microseconds=1), end):
            order = await customer.create_order((sku, 1))
            placed.append(order["id"])
            await shop.database.execute(
                "UPDATE customer_order SET created_at = $1 WHERE id = $2", created_at, order["id"]
            )
        worker = await request_report(shop, customer, from_="2026-11-02", to="2026-11-02")
        assert (await worker.call_successfully("begin"))["total"] == 2
        assert await worker.list_all_order_ids(limit=1) == placed[1:3]

    async def test_page_of_orders_takes_three_statements(self, shop: Shop, queries: Queries) -> None:
        sku, customer = await shop.create_product(), shop.client()
        for _ in range(20):
            await customer.create_order((sku, 1))
        worker = await request_report(shop, customer)
        assert len((await worker.list_orders(limit=20))["items"]) == 20
        path = f"/internal/reports/{worker.id}/orders"
        assert await queries.count(lambda: shop.worker.get(path, limit=20)) == 3

    async def test_orders_are_rejected_when_the_report_is_unknown_or_the_cursor_invalid(self, shop: Shop) -> None:
        unknown = await shop.worker.get(f"/internal/reports/{uuid4()}/orders")
        assert unknown.json()["type"].endswith("/report-not-found")
        worker = await request_report(shop, shop.client())
        rejected = await shop.worker.get(f"/internal/reports/{worker.id}/orders", cursor="nonsense")
        assert rejected.status_code == 400


class TestProgress:
    async def test_progress_is_stored_exactly_and_published_once_per_tenth(self, shop: Shop) -> None:
        worker = await request_report(shop, shop.client())
        assert (await worker.call_successfully("begin"))["object_key"] == f"reports/{worker.id}.csv"
        for progress in (*range(0, 99, 7), 99):
            assert (await worker.call_successfully("progress", progress=progress))["progress"] == progress
        events = await worker.list_events()
        first_of_each_tenth = (14, 21, 35, 42, 56, 63, 70, 84, 91)
        assert [(name, data["progress"]) for name, data in events] == [
            ("progress", progress) for progress in first_of_each_tenth
        ]
        assert {data["report_id"] for _, data in events} == {worker.id}

    async def test_progress_never_decreases_and_publishes_nothing_when_a_smaller_value_arrives(
        self, shop: Shop
    ) -> None:
        worker = await request_report(shop, shop.client())
        for value, stored in ((40, 40), (40, 40), (10, 40), (45, 45), (60, 60)):
            assert (await worker.call_successfully("progress", progress=value))["progress"] == stored
        assert [data["progress"] for _, data in await worker.list_events()] == [40, 60]

    @pytest.mark.parametrize("progress", [-1, 100, None, "much"])
    async def test_progress_is_rejected_when_it_is_not_between_0_and_99(self, shop: Shop, progress: object) -> None:
        worker = await request_report(shop, shop.client())
        assert (await worker.call("progress", progress=progress)).status_code == 422


class TestFinishedReport:
    async def test_ready_is_published_once_when_finish_is_repeated(self, shop: Shop) -> None:
        customer = shop.client()
        worker = await request_report(shop, customer)
        first, second = [await worker.call_successfully("finish", size_bytes=7) for _ in range(2)]
        assert first == second
        [(name, data)] = await worker.list_events()
        assert name == "ready"
        assert data == {
            "report_id": worker.id,
            "user_id": str(customer.id),
            "download_url": first["download_url"],
            "size_bytes": 7,
        }

    async def test_failed_is_published_once_with_its_reason_when_fail_is_repeated(self, shop: Shop) -> None:
        customer = shop.client()
        worker = await request_report(shop, customer)
        await worker.call_successfully("begin")
        for _ in range(2):
            report = await worker.call_successfully("fail", reason="the store was unavailable")
        assert (report["status"], report["error"], report["download_url"]) == (
            "failed",
            "the store was unavailable",
            None,
        )
        [(name, data)] = await worker.list_events()
        assert (name, data["reason"], data["user_id"]) == ("failed", "the store was unavailable", str(customer.id))

    async def test_calls_conflict_when_the_report_is_finished(self, shop: Shop) -> None:
        ends: dict[str, dict[str, Any]] = {"finish": {"size_bytes": 7}, "fail": {"reason": "why"}}
        for end, other in (("finish", "fail"), ("fail", "finish")):
            worker = await request_report(shop, shop.client())
            await worker.call_successfully(end, **ends[end])
            late_calls: list[tuple[str, dict[str, Any]]] = [
                ("begin", {}),
                ("progress", {"progress": 50}),
                (other, ends[other]),
            ]
            for late, body in late_calls:
                rejected = await worker.call(late, **body)
                assert rejected.status_code == 409
                assert rejected.json()["type"].endswith("/report-finished")
            assert len(await worker.list_events()) == 1


class TestCleanup:
    async def test_cleanup_fails_stale_reports_and_publishes_the_failure(self, shop: Shop) -> None:
        customer = shop.client()
        requested, begun, done, recent = [await request_report(shop, customer) for _ in range(4)]
        await begun.call_successfully("begin")
        await done.call_successfully("finish", size_bytes=1)
        await shop.database.execute(
            "UPDATE report SET created_at = now() - interval '25 hours' WHERE id <> $1", recent.id
        )
        for failed in (2, 0):
            response = await shop.worker.post("/internal/housekeeping", {})
            assert response.json()["removed"]["lost_reports"] == failed
        reports = [(await customer.get(f"/reports/{worker.id}")).json() for worker in (requested, begun, done, recent)]
        statuses = [report["status"] for report in reports]
        assert statuses == ["failed", "failed", "done", "queued"]
        for worker in (requested, begun):
            [(name, data)] = await worker.list_events()
            assert (name, data["user_id"]) == ("failed", str(customer.id))
            assert (await worker.call("begin")).json()["type"].endswith("/report-finished")

    async def test_cleanup_deletes_at_most_one_batch_of_reports(self, shop: Shop) -> None:
        worker = await request_report(shop, shop.client())
        await worker.call_successfully("finish", size_bytes=1)
        await shop.database.execute(
            "INSERT INTO report SELECT (jsonb_populate_record(report, jsonb_build_object('id', gen_random_uuid()))).*"
            " FROM report, generate_series(1, $1)",  # copies of the finished report
            BATCH,
        )
        await shop.database.execute("UPDATE report SET finished_at = now() - interval '31 days'")
        results = [(await shop.worker.post("/internal/housekeeping", {})).json() for _ in range(2)]
        assert [(result["removed"]["reports"], result["more"]) for result in results] == [(BATCH, True), (1, False)]

    async def test_cleanup_deletes_old_reports_with_their_files(self, shop: Shop) -> None:
        customer = shop.client()
        old, without_file, recent, stale = [await request_report(shop, customer) for _ in range(4)]
        for worker in (old, recent):
            file = shop.objects / (await worker.call_successfully("begin"))["object_key"]
            file.parent.mkdir(exist_ok=True)
            file.write_text("x")
            file.with_name(f"{file.name}.part").write_text("an incomplete second attempt")
        for worker in (old, without_file, recent):
            await worker.call_successfully("finish", size_bytes=1)
        await shop.database.execute("UPDATE report SET created_at = now() - interval '31 days'")
        await shop.database.execute(
            "UPDATE report SET finished_at = now() - interval '31 days' WHERE id = ANY($1)", [old.id, without_file.id]
        )
        for removed in (2, 0):
            assert (await shop.worker.post("/internal/housekeeping", {})).json()["removed"]["reports"] == removed
        statuses = [(await customer.get(f"/reports/{worker.id}")).status_code for worker in (old, recent, stale)]
        assert statuses == [404, 200, 200]  # the cleanup has failed the stale report, so its retention starts now
        assert sorted(file.name for file in shop.objects.rglob("*.*")) == [f"{recent.id}.csv", f"{recent.id}.csv.part"]
