"""A report from the request to the file: its notifications, its trace, and its protection from other users."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx
import pytest

from hopline_client import api
from hopline_client.realtime import Frame
from testkit.shopper import Shopper, register

pytestmark = pytest.mark.xdist_group("stack")


async def request_report(shopper: Shopper, file_format: Literal["csv", "pdf"]) -> httpx.Response:
    """Request a report on the orders of yesterday and today, and return the response, which has the status 202."""
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)  # the order may have been placed just before midnight
    request = api.request_report(first=yesterday, last=today, file_format=file_format)
    accepted = await shopper.send(request)
    assert accepted.status_code == 202, accepted.text
    return accepted


def frames_of_report(frames: list[Frame], report_id: str) -> list[Frame]:
    return [frame for frame in frames if frame["data"].get("report_id") == report_id]


class TestReport:
    async def test_csv_report_is_notified_and_can_be_downloaded_by_its_owner_only(
        self, shopper: Shopper, gateway: httpx.AsyncClient
    ) -> None:
        sku = (await shopper.products())[0]["sku"]
        async with shopper.device() as device:
            order = (await shopper.place_order((sku, 2))).json()
            accepted = await request_report(shopper, "csv")
            await device.wait_for("report.ready")
        report = (await shopper.get(accepted.headers["Location"])).json()
        assert (report["id"], report["status"], report["progress"]) == (accepted.json()["id"], "done", 100)

        *progress_frames, ready_frame = frames_of_report(device.frames, report["id"])
        assert {frame["kind"] for frame in progress_frames} == {"report.progress"}
        progress = [frame["data"]["progress"] for frame in progress_frames]
        assert progress == sorted(progress)
        assert ready_frame["data"]["download_url"] == report["download_url"]
        assert {frame.trace_id for frame in (*progress_frames, ready_frame)} == {api.trace_id(accepted)}

        file = await shopper.get(report["download_url"])
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert int(file.headers["Content-Length"]) == len(file.content) == report["size_bytes"]
        assert [row["order_id"] for row in csv.DictReader(io.StringIO(file.text))] == [order["id"]]

        other_user = await register(gateway)
        for path in (accepted.headers["Location"], report["download_url"]):
            assert (await other_user.get(path)).status_code == 404

    async def test_pdf_report_is_a_pdf_file(self, shopper: Shopper) -> None:
        async with shopper.device() as device:
            report_id = (await request_report(shopper, "pdf")).json()["id"]
            await device.wait_for("report.ready")
        async with shopper.download(api.download_report(f"/v2/reports/{report_id}/download")) as file:
            content = b"".join([chunk async for chunk in file.chunks])
        assert file.name.endswith(".pdf")
        assert content.startswith(b"%PDF-")
        assert content.rstrip().endswith(b"%%EOF")
