"""A report, from the request to the file: pushed on the way, in the trace of its request, for nobody else."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from testkit.shopper import Shopper, register

pytestmark = pytest.mark.xdist_group("stack")


async def ask(shopper: Shopper, file_format: str) -> httpx.Response:
    today = datetime.now(UTC).date()
    since = today - timedelta(days=1)  # the order may have been yesterday's, just before midnight
    wanted = {"kind": "orders", "format": file_format, "from": str(since), "to": str(today)}
    accepted = await shopper.client.post("/v2/reports", json=wanted, headers=shopper.headers)
    assert accepted.status_code == 202, accepted.text
    return accepted


def about(frames: list[dict[str, Any]], report_id: str) -> list[dict[str, Any]]:
    return [frame for frame in frames if frame["data"].get("report_id") == report_id]


class TestReport:
    async def test_is_followed_by_pushes_and_downloaded(self, shopper: Shopper, gateway: httpx.AsyncClient) -> None:
        sku = (await gateway.get("/v2/products")).json()["items"][0]["sku"]
        async with shopper.device() as device:
            order = (await shopper.place_order((sku, 2))).json()
            accepted = await ask(shopper, "csv")
            await device.received("report.ready")
        report = (await shopper.get(accepted.headers["Location"])).json()
        assert (report["id"], report["status"], report["progress"]) == (accepted.json()["id"], "done", 100)

        pushed = about(device.frames, report["id"])
        assert [frame["kind"] for frame in pushed[:-1]] == ["report.progress"] * (len(pushed) - 1)
        told = [frame["data"]["progress"] for frame in pushed[:-1]]
        assert told == sorted(told) != []
        assert pushed[-1]["data"]["download_url"] == report["download_url"]
        trace_id = accepted.headers["traceresponse"].split("-")[1]
        assert {frame["traceparent"].split("-")[1] for frame in pushed} == {trace_id}

        file = await shopper.get(report["download_url"])
        assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert int(file.headers["Content-Length"]) == len(file.content) == report["size_bytes"]
        assert [row["order_id"] for row in csv.DictReader(io.StringIO(file.text))] == [order["id"]]

        stranger = await register(gateway)
        for path in (accepted.headers["Location"], report["download_url"]):
            assert (await stranger.get(path)).status_code == 404

    async def test_as_pdf_is_one(self, shopper: Shopper) -> None:
        async with shopper.device() as device:
            report_id = (await ask(shopper, "pdf")).json()["id"]
            await device.received("report.ready")
        file = await shopper.get(f"/v2/reports/{report_id}/download")
        assert file.headers["Content-Type"] == "application/pdf"
        assert file.content.startswith(b"%PDF-")
        assert file.content.rstrip().endswith(b"%%EOF")
