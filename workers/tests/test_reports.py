"""Reports: what is in the files, what orders is told, and that it comes to one end whatever happens."""

import csv
import io
import signal
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import obstore
import orjson
import pytest
from pypdf import PdfReader

from shared.objects import ObjectStore, open_object_store
from shared.settings import ObjectStoreSettings
from testkit.apps import free_port
from testkit.s3 import Bucket
from testkit.waiting import eventually
from workers.kinds import KINDS, REPORTS_QUEUE
from workers.reports.client import ORDERS_AT_ONCE
from workers.reports.csv_file import CsvFile
from workers.reports.files import PART_BYTES, ReportFolder
from workers.reports.schemas import FailReport, MakeReport, OrdersPage, ReportedOrder
from workers.reports.summary import Summary
from workers.schemas import NewJob

from .factories import report_event, report_job, ship, welcome_email
from .report_desk import START, ReportDesk
from .standins import person
from .world import World

MAKE = KINDS[MakeReport.kind]


async def make(world: World, report_id: UUID) -> None:
    """Run the report's job once."""
    (queued,) = await world.add(report_job(report_id))
    async with world.runner(MAKE) as runner:
        await runner.run(queued.job_id)


def files(world: World) -> list[Path]:
    return [path for path in world.objects.rglob("*") if path.is_file()]


async def ended(world: World, report_id: UUID) -> str:
    """How the report ended, once it has."""
    await eventually(lambda: str(report_id) in world.orders.desk.ends, 30)
    return world.orders.desk.ends[str(report_id)]


def orders(count: int) -> list[ReportedOrder]:
    desk = ReportDesk(orders=count)
    page = {"items": [desk.order(number) for number in range(count)], "next_cursor": None}
    return OrdersPage.model_validate(page).items


class TestCsv:
    async def test_has_a_line_for_every_order_of_every_page(self, world: World) -> None:
        world.orders.desk.orders = 1203
        report_id = world.orders.desk.wants("csv")
        await make(world, report_id)
        [file] = files(world)
        assert file == world.objects / f"reports/{report_id}.csv"
        rows = list(csv.DictReader(io.StringIO(file.read_text())))
        assert [row["order_id"] for row in rows] == [str(UUID(int=number)) for number in range(1203)]
        assert rows[9] == {
            "order_id": str(UUID(int=9)),
            "user_id": str(UUID(int=7)),
            "created_at": "2026-11-01T09:00:00Z",
            "status": "cancelled",
            "items": "2 x BAG-CANVAS",
            "units": "2",
            "total_cents": "1000",
            "currency": "EUR",
        }
        assert world.orders.desk.told[-1] == ("finish", {"size_bytes": file.stat().st_size})

    async def test_without_orders_has_the_names_of_its_columns(self, world: World) -> None:
        world.orders.desk.orders = 0
        await make(world, world.orders.desk.wants("csv"))
        [file] = files(world)
        assert file.read_text().split() == ["order_id,user_id,created_at,status,items,units,total_cents,currency"]

    def test_holds_nothing_that_a_spreadsheet_computes(self) -> None:
        [order] = orders(1)
        tricky = replace(order, items=[replace(order.items[0], sku="=1+1")])
        [row] = csv.reader(io.StringIO(CsvFile().add([tricky]).decode()))
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


class TestMemory:
    def test_a_page_of_orders_takes_less_than_twice_its_json(self) -> None:
        desk = ReportDesk(orders=ORDERS_AT_ONCE)
        body = orjson.dumps({"items": [desk.order(number) for number in range(ORDERS_AT_ONCE)], "next_cursor": None})
        OrdersPage.model_validate_json(body)
        tracemalloc.start()
        try:
            page = OrdersPage.model_validate_json(body)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(page.items) == ORDERS_AT_ONCE
        assert taken < 2 * len(body)


class TestPdf:
    async def test_has_sums_a_chart_a_table_and_the_newest_orders(self, world: World) -> None:
        world.orders.desk.orders = 600
        report_id = world.orders.desk.wants("pdf")
        await make(world, report_id)
        [file] = files(world)
        document = PdfReader(file)
        text = [page.extract_text() for page in document.pages]
        assert "600 orders, 60 of them cancelled; 1,080 units for 5,400.00 EUR" in text[0]
        assert "2026-11-01" in text[0]
        assert str(UUID(int=599)) in "".join(text)
        assert str(UUID(int=99)) not in "".join(text)
        assert "and 100 before these" in text[-1]
        drawn = document.pages[0].get_contents()
        assert drawn is not None
        assert drawn.get_data().count(b" re") > 25 - 1, "a bar for each of 25 days"

    async def test_without_orders_is_a_document_too(self, world: World) -> None:
        world.orders.desk.orders = 0
        await make(world, world.orders.desk.wants("pdf"))
        assert "0 orders" in PdfReader(files(world)[0]).pages[0].extract_text()


class TestSummary:
    @pytest.mark.parametrize(
        ("days", "unit", "count"), [(1, "day", 1), (62, "day", 62), (63, "week", 9), (800, "month", 27)]
    )
    def test_tells_short_periods_by_days_and_long_ones_by_months(self, days: int, unit: str, count: int) -> None:
        start = datetime(2023, 1, 2, tzinfo=UTC)
        summary = Summary(period_from=start, period_to=start + timedelta(days=days))
        assert summary.unit == unit
        parts = [first for first, _ in summary.parts()]
        assert (len(parts), parts[-1]) == (count, max(parts))
        assert len(set(parts)) == count

    def test_counts_every_order_once_and_cancelled_ones_without_money(self) -> None:
        summary = Summary(period_from=START, period_to=START + timedelta(days=3))
        summary.add(orders(72))
        assert [sums.orders for _, sums in summary.parts()] == [24, 24, 24]
        assert (summary.all.cancelled, summary.all.total_cents) == (7, 65_000)


class TestProgress:
    async def test_is_told_in_steps_that_only_grow(self, world: World) -> None:
        world.orders.desk.orders = 12_000
        await make(world, world.orders.desk.wants("csv"))
        told = world.orders.desk.progress
        assert told == sorted(told)
        assert 8 <= len(told) <= 10
        assert told[-1] < 100


class TestEnds:
    async def test_a_finished_or_forgotten_report_is_left_alone(self, world: World) -> None:
        finished = world.orders.desk.wants()
        world.orders.desk.ends[str(finished)] = "fail"
        for report_id in (finished, UUID(int=1)):
            await make(world, report_id)
        assert {job.state for job in await world.jobs()} == {"done"}
        assert files(world) == []

    @pytest.mark.parametrize("percent", [90, 95])
    async def test_one_that_another_worker_finishes_meanwhile_is_left_to_it(self, world: World, percent: int) -> None:
        world.orders.desk.finished_by_another_at = percent
        await make(world, world.orders.desk.wants())
        assert [job.state for job in await world.jobs()] == ["done"]
        assert "finish" not in [what for what, _ in world.orders.desk.told]
        assert files(world) == []

    async def test_one_that_cannot_be_made_fails_with_a_reason_for_its_user(self, world: World) -> None:
        report_id = world.orders.desk.wants()
        away = {"object_store_url": "s3://nowhere", "s3_endpoint": f"http://127.0.0.1:{free_port()}"}
        (queued,) = await world.add(report_job(report_id))
        async with world.runner(replace(MAKE, attempts=1), **away, s3_access_key_id="key") as runner:
            await runner.run(queued.job_id)
        assert (await world.job(queued.job_id)).state == "dead"
        async with world.worker():
            assert await ended(world, report_id) == "fail"
        _, body = world.orders.desk.told[-1]
        assert "away for too long" in body["reason"]
        assert "127.0.0.1" not in body["reason"]

    async def test_what_was_made_meanwhile_is_not_called_a_failure(self, world: World) -> None:
        report_id = world.orders.desk.wants()
        world.orders.desk.ends[str(report_id)] = "finish"
        failure = FailReport(user_id=uuid4(), report_id=report_id, reason="the worker died")
        (queued,) = await world.add(NewJob(payload=failure))
        async with world.runner(KINDS[FailReport.kind]) as runner:
            await runner.run(queued.job_id)
        assert (await world.job(queued.job_id)).state == "done"
        assert world.orders.desk.ends == {str(report_id): "finish"}


class TestQueue:
    async def test_a_long_report_delays_no_email(self, world: World) -> None:
        report_id, greeting = world.orders.desk.wants(), welcome_email()
        person(world.users, greeting.payload.user_id or UUID(int=0))
        world.orders.desk.open.clear()
        async with world.worker(max_jobs="1"), world.worker(queue=REPORTS_QUEUE):
            await ship(world.redis, report_event(report_id))
            await eventually(lambda: world.orders.desk.waiting == 1)
            await world.add(greeting)
            await eventually(lambda: len(world.mailbox.messages) == 1)
            world.orders.desk.open.set()
            assert await ended(world, report_id) == "finish"

    async def test_is_read_by_its_own_worker_only(self, world: World) -> None:
        report_id, greeting = world.orders.desk.wants(), welcome_email()
        person(world.users, greeting.payload.user_id or UUID(int=0))
        async with world.worker():
            await world.add(report_job(report_id), greeting)
            await eventually(lambda: world.mailbox.messages)
            await eventually(lambda: world.redis.zcard(REPORTS_QUEUE))
        assert world.orders.desk.told == []


class TestKilledWorker:
    @pytest.mark.parametrize("crash_point", ["report.after_progress", "report.before_put", "report.after_put"])
    async def test_another_one_makes_one_file_and_says_so_once(self, world: World, crash_point: str) -> None:
        report_id = world.orders.desk.wants()
        async with AsyncExitStack() as stack:
            await world.add(report_job(report_id))
            await stack.enter_async_context(world.worker())
            doomed = await stack.enter_async_context(
                world.process("ReportWorkerSettings", CRASH_AT=crash_point, JOB_LEASE_SECONDS="1")
            )
            assert await doomed.wait() == 137
            assert world.orders.desk.ends == {}
            await stack.enter_async_context(world.worker(queue=REPORTS_QUEUE))
            assert await ended(world, report_id) == "finish"
        assert [what for what, _ in world.orders.desk.told].count("finish") == 1
        assert world.objects / f"reports/{report_id}.csv" in files(world)
        assert not [file for file in files(world) if file.suffix == ".part"]

    async def test_one_that_is_told_to_go_releases_its_report(self, world: World) -> None:
        (queued,) = await world.add(report_job(world.orders.desk.wants()))
        world.orders.desk.open.clear()
        async with world.worker(), world.process("ReportWorkerSettings", SHUTDOWN_SECONDS="1") as process:
            await eventually(lambda: world.orders.desk.waiting == 1)
            process.send(signal.SIGTERM)
            assert await process.wait() == 0, process.output
            job = await world.job(queued.job_id)
        assert (job.state, job.attempt) == ("queued", 0)
        assert files(world) == []


class TestStores:
    """The same over a folder and over a server that speaks S3."""

    @pytest.fixture(params=["folder", "s3"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
        if request.param == "folder":
            settings = {"object_store_url": tmp_path.as_uri()}
        else:
            settings = request.getfixturevalue("s3_bucket").settings
        return open_object_store(ObjectStoreSettings.model_validate(settings))

    async def test_a_file_of_several_parts_is_put_whole_over_what_was_there(self, store: ObjectStore) -> None:
        folder, pieces = ReportFolder(store=store), [bytes([number]) * (PART_BYTES - 1) for number in range(3)]
        for content in ([b"older"], pieces):
            async with folder.beside("reports/r.csv") as writer:
                for piece in content:
                    await writer.write(piece)
            await folder.put("reports/r.csv")
        assert writer.size_bytes == 3 * (PART_BYTES - 1)
        assert await self._names(store) == ["reports/r.csv"]
        assert (await obstore.get_async(store, "reports/r.csv")).bytes().to_bytes() == b"".join(pieces)

    async def test_a_file_that_is_given_up_leaves_nothing(self, store: ObjectStore) -> None:
        with pytest.raises(KeyError):
            await self._give_up(ReportFolder(store=store))
        assert await self._names(store) == []

    async def _give_up(self, folder: ReportFolder) -> None:
        async with folder.beside("reports/r.csv") as writer:
            for _ in range(3):
                await writer.write(b"x" * PART_BYTES)
            raise KeyError

    async def _names(self, store: ObjectStore) -> list[str]:
        return [found["path"] async for page in obstore.list(store) for found in page]


class TestS3:
    async def test_a_report_is_put_there(self, world: World, s3_bucket: Bucket) -> None:
        report_id = world.orders.desk.wants("pdf")
        (queued,) = await world.add(report_job(report_id))
        async with world.runner(MAKE, **s3_bucket.settings) as runner:
            await runner.run(queued.job_id)
        assert world.orders.desk.ends == {str(report_id): "finish"}
        store = open_object_store(world.settings(**s3_bucket.settings))
        stored = await obstore.head_async(store, f"reports/{report_id}.pdf")
        assert stored["size"] == world.orders.desk.told[-1][1]["size_bytes"]
