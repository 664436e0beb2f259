"""The job: reads the report's orders page by page, writes its file as they come, tells orders how far it is.

Whatever happens in the middle, it can be done again from the beginning: progress only grows, the file written beside
its place is written over, and orders takes one end of a report and no other.
"""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from shared.crash import crash_point
from workers.errors import ReportClosed
from workers.reports.client import ReportsClient
from workers.reports.csv_file import CsvFile
from workers.reports.documents import Document
from workers.reports.files import ReportFolder, Writer
from workers.reports.pdf_file import PdfFile
from workers.reports.schemas import ReportWork

log = structlog.get_logger(__name__)

READ: Final = 90
"""Percent of a report of which all orders are read."""
WRITTEN: Final = 95
STEP: Final = 10
"""Progress is told when so much more is there: ten calls, not one for each page."""


class ReportMaker:
    """Makes reports. Raises DependencyAway where orders or the object store are away."""

    def __init__(self, *, orders: ReportsClient, folder: ReportFolder) -> None:
        self._orders = orders
        self._folder = folder

    async def make(self, report_id: UUID) -> None:
        """Make one, unless it is finished or gone."""
        try:
            work = await self._orders.begin(report_id)
            size_bytes = await self._write(work)
            await self._check_open(work)
            crash_point("report.before_put")
            await self._folder.put(work.object_key)
            crash_point("report.after_put")
            await self._orders.finish(report_id, size_bytes=size_bytes)
        except ReportClosed as closed:
            log.info("report_closed", report_id=report_id, reason=str(closed))
        else:
            log.info("report_made", report_id=report_id, orders=work.total, size_bytes=size_bytes)

    async def _check_open(self, work: ReportWork) -> None:
        """Tell that the file is written; where another worker has finished the report meanwhile, throw it away."""
        try:
            await self._orders.progress(work.id, WRITTEN)
        except ReportClosed:
            await self._folder.discard(work.object_key)
            raise

    async def _write(self, work: ReportWork) -> int:
        """Write the file beside its place; its size in bytes."""
        document: Document = CsvFile() if work.format == "csv" else PdfFile(work)
        async with self._folder.beside(work.object_key) as writer:
            await writer.write(document.begin())
            await self._copy(work, document, writer)
            await writer.write(await asyncio.to_thread(document.end))
        return writer.size_bytes

    async def _copy(self, work: ReportWork, document: Document, writer: Writer) -> None:
        """Put every order into the document."""
        done, told, cursor = 0, 0, None
        while True:
            page = await self._orders.orders(work.id, cursor=cursor)
            await writer.write(await asyncio.to_thread(document.add, page.items))
            done, cursor = done + len(page.items), page.next_cursor
            percent = READ if cursor is None else min(READ * done // max(work.total, 1), READ - 1)
            if percent >= told + STEP:
                await self._orders.progress(work.id, percent)
                told = percent
                crash_point("report.after_progress")
            if cursor is None:
                return
