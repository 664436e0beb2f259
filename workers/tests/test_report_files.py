"""The content of report files, and the memory that generating them takes."""

import csv
import io
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
import pytest
from pypdf import PdfReader

from workers.reports.client import PAGE_SIZE
from workers.reports.csv_file import CsvFile
from workers.reports.schemas import OrdersPage, ReportedOrder
from workers.reports.summary import Summary

from .fake_reports import START, FakeReports
from .harness import Harness
from .report_jobs import list_files, run_report_job


def reported_orders(count: int) -> list[ReportedOrder]:
    """Return the first orders of `FakeReports`: one per hour, every tenth cancelled, 2 units for 10.00 EUR each."""
    reports = FakeReports(orders=count)
    page = {"items": [reports.order(number) for number in range(count)], "next_cursor": None}
    return OrdersPage.model_validate(page).items


class TestCsv:
    async def test_csv_has_a_row_for_every_order_of_every_page(self, harness: Harness) -> None:
        harness.orders.reports.orders = 2 * PAGE_SIZE + 203
        report_id = harness.orders.reports.add_report("csv")
        await run_report_job(harness, report_id)
        (file,) = list_files(harness)
        assert file == harness.objects / f"reports/{report_id}.csv"
        rows = list(csv.DictReader(io.StringIO(file.read_text())))
        assert [row["order_id"] for row in rows] == [str(UUID(int=number)) for number in range(2 * PAGE_SIZE + 203)]
        assert rows[9] == {  # the first cancelled order
            "order_id": str(UUID(int=9)),
            "user_id": str(UUID(int=7)),
            "created_at": "2025-11-01T09:00:00Z",
            "status": "cancelled",
            "items": "2 x BAG-CANVAS",
            "units": "2",
            "total_cents": "1000",
            "currency": "EUR",
        }
        assert harness.orders.reports.calls[-1] == ("finish", {"size_bytes": file.stat().st_size})

    async def test_csv_has_only_a_header_when_there_are_no_orders(self, harness: Harness) -> None:
        harness.orders.reports.orders = 0
        await run_report_job(harness, harness.orders.reports.add_report("csv"))
        (file,) = list_files(harness)
        assert file.read_text().split() == ["order_id,user_id,created_at,status,items,units,total_cents,currency"]

    def test_csv_has_no_cell_that_a_spreadsheet_evaluates(self) -> None:
        (order,) = reported_orders(1)
        order_of_formula = replace(order, items=[replace(order.items[0], sku="=1+1")])
        (row,) = csv.reader(io.StringIO(CsvFile().add([order_of_formula]).decode()))
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


class TestMemory:
    def test_page_of_orders_takes_less_than_twice_the_memory_of_its_json(self) -> None:
        reports = FakeReports(orders=PAGE_SIZE)
        body = orjson.dumps({"items": [reports.order(number) for number in range(PAGE_SIZE)], "next_cursor": None})
        OrdersPage.model_validate_json(body)  # fills caches, which the second call reuses
        tracemalloc.start()
        try:
            page = OrdersPage.model_validate_json(body)
            allocated_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(page.items) == PAGE_SIZE
        assert allocated_bytes < 2 * len(body)


class TestPdf:
    async def test_pdf_has_totals_a_chart_a_table_and_the_newest_orders(self, harness: Harness) -> None:
        orders, listed, days = 600, 500, 25  # one order per hour
        harness.orders.reports.orders = orders
        report_id = harness.orders.reports.add_report("pdf")
        await run_report_job(harness, report_id)
        (file,) = list_files(harness)
        document = PdfReader(file)
        text = [page.extract_text() for page in document.pages]
        # 540 orders were not cancelled: 2 units for 10.00 EUR each.
        assert "600 orders, 60 of them cancelled; 1,080 units for 5,400.00 EUR" in text[0]
        assert "2025-11-01" in text[0]
        assert str(UUID(int=orders - 1)) in "".join(text)
        assert str(UUID(int=orders - listed)) in "".join(text)
        assert str(UUID(int=orders - listed - 1)) not in "".join(text)
        assert "and 100 before these" in text[-1]
        drawing = document.pages[0].get_contents()
        assert drawing is not None
        assert drawing.get_data().count(b" re") == days  # PDF operator of a rectangle: one bar per day

    async def test_pdf_is_generated_when_there_are_no_orders(self, harness: Harness) -> None:
        harness.orders.reports.orders = 0
        await run_report_job(harness, harness.orders.reports.add_report("pdf"))
        assert "0 orders" in PdfReader(list_files(harness)[0]).pages[0].extract_text()


class TestSummary:
    @pytest.mark.parametrize(
        ("days", "unit", "count"), [(1, "day", 1), (62, "day", 62), (63, "week", 9), (800, "month", 27)]
    )
    def test_summary_groups_by_day_week_or_month(self, days: int, unit: str, count: int) -> None:
        start = datetime(2023, 1, 2, tzinfo=UTC)
        end = start + timedelta(days=days)
        summary = Summary(period_from=start, period_to=end, now=lambda: end)
        assert summary.unit == unit
        first_days = [first_day for first_day, _ in summary.parts()]
        assert first_days == sorted(set(first_days))
        assert len(first_days) == count

    def test_summary_omits_the_days_that_have_not_begun(self) -> None:
        now = START + timedelta(days=1, hours=23)
        summary = Summary(period_from=START, period_to=START + timedelta(days=3), now=lambda: now)
        assert [first_day.day for first_day, _ in summary.parts()] == [1, 2]

    def test_summary_has_the_first_day_when_the_clock_is_behind_the_period(self) -> None:
        summary = Summary(
            period_from=START, period_to=START + timedelta(days=3), now=lambda: START - timedelta(seconds=1)
        )
        assert [first_day.day for first_day, _ in summary.parts()] == [1]

    def test_summary_parts_are_days_in_utc_when_the_period_has_another_offset(self) -> None:
        east = timezone(timedelta(hours=10))
        start, end = datetime(2025, 11, 2, 5, tzinfo=east), datetime(2025, 11, 3, 5, tzinfo=east)
        summary = Summary(period_from=start, period_to=end, now=lambda: end)
        assert [first_day.day for first_day, _ in summary.parts()] == [1, 2]

    def test_summary_counts_every_order_and_excludes_cancelled_orders_from_the_total(self) -> None:
        end = START + timedelta(days=3)
        summary = Summary(period_from=START, period_to=end, now=lambda: end)
        orders, cancelled = 3 * 24, 7
        summary.add(reported_orders(orders))
        assert [sums.orders for _, sums in summary.parts()] == [24, 24, 24]
        assert (summary.all.cancelled, summary.all.total_cents) == (cancelled, (orders - cancelled) * 1000)
