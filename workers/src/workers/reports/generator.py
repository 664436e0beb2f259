"""Generates a report: reads its orders page by page, writes its file, and updates its progress.

It is safe to run again from the start. Orders ignores a lower progress, the temporary file is overwritten, and orders
accepts only one final status of a report.
"""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from shared.faults.crash_points import crash_point
from workers.errors import ReportClosedError
from workers.reports.client import ReportsClient
from workers.reports.csv_file import CsvFile
from workers.reports.documents import Document
from workers.reports.files import ReportFiles, Writer
from workers.reports.pdf_file import PdfFile
from workers.reports.schemas import ReportWork

log = structlog.get_logger(__name__)

PROGRESS_WHEN_READ: Final = 90
"""Progress in percent after the last order was read."""
PROGRESS_WHEN_WRITTEN: Final = 95
"""Progress in percent after the file was written."""
MIN_PROGRESS_STEP: Final = 10
"""Minimum difference in percent between two updates of the progress, which limits the number of calls."""


class ReportGenerator:
    """Generates reports from `orders` into `files`."""

    def __init__(self, *, orders: ReportsClient, files: ReportFiles) -> None:
        self._orders = orders
        self._files = files

    async def generate(self, report_id: UUID) -> None:
        """Generate one report, unless it is finished or deleted.

        Raises:
            DependencyUnavailableError: Orders or the object store is unavailable.
        """
        try:
            work = await self._orders.begin(report_id)
            size_bytes = await self._write(work)
            await self._check_open(work)
            crash_point("report.before_put")
            await self._files.publish(work.object_key)
            crash_point("report.after_put")
            await self._orders.finish(report_id, size_bytes=size_bytes)
        except ReportClosedError as closed:
            log.info("report_closed", report_id=report_id, reason=str(closed))
        else:
            log.info("report_made", report_id=report_id, orders=work.total, size_bytes=size_bytes)

    async def _check_open(self, work: ReportWork) -> None:
        """Update the progress. If the report is finished or deleted, discard the file and raise ReportClosedError."""
        try:
            await self._orders.update_progress(work.id, PROGRESS_WHEN_WRITTEN)
        except ReportClosedError:
            await self._files.discard(work.object_key)
            raise

    async def _write(self, work: ReportWork) -> int:
        """Write the temporary file, and return its size in bytes."""
        document: Document = CsvFile() if work.format == "csv" else PdfFile(work)
        async with self._files.open_temporary(work.object_key) as writer:
            await writer.write(document.begin())
            await self._copy(work, document, writer)
            await writer.write(await asyncio.to_thread(document.end))
        return writer.size_bytes

    async def _copy(self, work: ReportWork, document: Document, writer: Writer) -> None:
        """Add every order to the document, and update the progress."""
        done, reported, cursor = 0, 0, None
        while True:
            page = await self._orders.get_orders(work.id, cursor=cursor)
            await writer.write(await asyncio.to_thread(document.add, page.items))
            done, cursor = done + len(page.items), page.next_cursor
            percent = (
                PROGRESS_WHEN_READ
                if cursor is None
                else min(PROGRESS_WHEN_READ * done // max(work.total, 1), PROGRESS_WHEN_READ - 1)
            )
            if percent >= reported + MIN_PROGRESS_STEP:
                await self._orders.update_progress(work.id, percent)
                reported = percent
                crash_point("report.after_progress")
            if cursor is None:
                return
