"""The demo's last chapter: a report is asked for, followed by its pushes, downloaded, saved and opened."""

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
from console.pushes import Device
from console.shop import Shop

DAYS = 30
FIRST_LINES = 3
BAR = 20
"""Characters of the progress bar."""


@dataclass(frozen=True, kw_only=True)
class ReportStory:
    """Tells it; files are saved in `folder`, and a push has `within_s` seconds to come."""

    shop: Shop
    narrator: Narrator
    folder: Path
    within_s: float

    async def tell(self, device: Device, *, order_id: str) -> dict[str, Any]:
        """Return what was seen; raises FailedError where it does not come, fails, or lacks the order."""
        today = datetime.now(UTC).date()
        began = time.perf_counter()
        report = await self.shop.request_report(first=today - timedelta(days=DAYS), last=today)
        self.narrator.done("asked for a report on the last month's orders", f"report {report['id']}")
        progress, ready = await self._watch(device, report["id"], began)
        name, content = await self.shop.download(ready["download_url"])
        saved = self._save(name, content)
        rows = self._read(saved, order_id)
        return {
            "id": report["id"],
            "progress": progress,
            "ready_ms": round((time.perf_counter() - began) * 1000, 1),
            "file": str(saved),
            "size_bytes": len(content),
            "rows": rows,
        }

    async def _watch(self, device: Device, report_id: str, began: float) -> tuple[list[int], Mapping[str, Any]]:
        """Show the bar grow until the report is ready; what was told in percent, and what the last push says."""
        told: list[int] = []
        try:
            with self.narrator.waiting("waiting for the report"):
                async with asyncio.timeout(self.within_s):
                    async for push in device.pushes():
                        data = push["data"]
                        if data.get("report_id") != report_id:
                            continue
                        after_ms = round((push.came_at - began) * 1000, 1)
                        if push["kind"] == "report.failed":
                            raise FailedError(f"the report failed: {data['reason']}")
                        done = push["kind"] == "report.ready"
                        percent = 100 if done else data["progress"]
                        self.narrator.arrived(after_ms, f"{_bar(percent)} {percent:3} %", push["kind"])
                        if done:
                            return told, data
                        told.append(percent)
        except TimeoutError:
            pass
        raise FailedError(f"no push of report.ready within {self.within_s:g} s: see make status")

    def _save(self, name: str, content: bytes) -> Path:
        """Save under the file's own name, whatever the server says inside of `folder`."""
        path = self.folder / (Path(name).name or "report.csv")
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.narrator.done(f"saved {path}", f"{len(content):,} bytes")
        return path

    def _read(self, path: Path, order_id: str) -> int:
        """Open the file, show how it begins; how many orders are in it."""
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if order_id not in {row.get("order_id") for row in rows}:
            raise FailedError(f"{path} lacks the order {order_id}")
        for line in path.read_text(encoding="utf-8").splitlines()[:FIRST_LINES]:
            self.narrator.quoted(line)
        return len(rows)


def _bar(percent: int) -> str:
    full = round(BAR * percent / 100)
    return "█" * full + "░" * (BAR - full)
