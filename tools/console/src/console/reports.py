"""The last part of the demo: request a report, show its progress, download it, and print its first lines."""

import asyncio
import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from console.failures import FailedError
from console.narration import Narrator
from hopline_client import api
from hopline_client.device import Device
from hopline_client.rest import Client

DAYS = 30  # in the report
FIRST_LINES = 3  # of the file are printed
BAR_WIDTH = 20
"""Width of the progress bar in characters."""

_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ReportDemo:
    """Requests a report, waits at most `within_s` seconds for it, and saves it in `folder`."""

    shop: Client
    narrator: Narrator
    folder: Path
    within_s: float

    async def run(self, device: Device, *, order_id: str) -> dict[str, Any]:
        """Return a summary. Raises FailedError if the report is late, fails, or does not contain the order."""
        today = datetime.now(UTC).date()
        began = time.perf_counter()
        report = await self.shop.call(api.request_report(first=today - timedelta(days=DAYS), last=today))
        self.narrator.print_step("requested a report on the last month's orders", f"report {report['id']}")
        progress, ready = await self._wait_until_ready(device, report["id"], began)
        async with self.shop.download(api.download_report(ready["download_url"]), max_bytes=_MAX_BYTES) as file:
            content = b"".join([chunk async for chunk in file.chunks])
        saved = self._save(file.name, content)
        rows = self._print_orders(saved, order_id)
        return {
            "id": report["id"],
            "progress": progress,
            "ready_ms": round((time.perf_counter() - began) * 1000, 1),
            "file": str(saved),
            "size_bytes": len(content),
            "rows": rows,
        }

    async def _wait_until_ready(
        self, device: Device, report_id: str, began: float
    ) -> tuple[list[int], Mapping[str, Any]]:
        """Print the progress until the report is ready. Return the percentages and the last notification's data."""
        reported: list[int] = []
        try:
            with self.narrator.waiting("waiting for the report"):
                async with asyncio.timeout(self.within_s):
                    async for notification in device.notifications():
                        data = notification["data"]
                        if data.get("report_id") != report_id:
                            continue
                        after_ms = round((notification.received_at - began) * 1000, 1)
                        if notification["kind"] == "report.failed":
                            raise FailedError(f"the report failed: {data['reason']}")
                        is_ready = notification["kind"] == "report.ready"
                        percent = 100 if is_ready else data["progress"]
                        self.narrator.print_arrival(after_ms, f"{_bar(percent)} {percent:3} %", notification["kind"])
                        if is_ready:
                            return reported, data
                        reported.append(percent)
        except TimeoutError:
            pass
        raise FailedError(f"no notification report.ready within {self.within_s:g} s: see make status")

    def _save(self, name: str, content: bytes) -> Path:
        """Save the file in `folder`, under its own name if it has one."""
        path = self.folder / (name or "report.csv")
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.narrator.print_step(f"saved {path}", f"{len(content):,} bytes")
        return path

    def _print_orders(self, path: Path, order_id: str) -> int:
        """Print the first lines of the file, and return the number of its orders."""
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if order_id not in {row.get("order_id") for row in rows}:
            raise FailedError(f"{path} does not contain the order {order_id}")
        for line in path.read_text(encoding="utf-8").splitlines()[:FIRST_LINES]:
            self.narrator.print_line(line)
        return len(rows)


def _bar(percent: int) -> str:
    full = round(BAR_WIDTH * percent / 100)
    return "█" * full + "░" * (BAR_WIDTH - full)
