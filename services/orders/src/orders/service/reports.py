"""Reports: requesting them, reading them, and the calls of the worker that writes their files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID, uuid4

import structlog

from orders import models
from orders.errors import InvalidPeriodError, ReportFinishedError, ReportNotFoundError, ReportNotReadyError
from orders.events import ReportAdvanced, ReportEvents, ReportFailed, ReportReady, ReportRequested
from orders.models import COMPLETE, ReportScope, ReportStatus
from orders.repository.reports import ReportRepository
from orders.schemas import Order, Report, ReportCreate, ReportJob
from orders.service.cursors import decode_order_cursor
from orders.settings import Settings
from shared.web.pagination import Page, build_page

log = structlog.get_logger(__name__)

PROGRESS_STEP: Final = 10
"""In percent. Progress is published once per step, so at most nine times per report."""

TIMEOUT_REASON: Final = "It could not be generated in time. Request a new report."


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """The longest period of a report, and the path prefix of download URLs."""

    max_period: timedelta
    public_prefix: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the options of these settings."""
        return cls(max_period=timedelta(days=settings.report_longest_days), public_prefix=settings.public_prefix)


class ReportService:
    """Creates, reads and changes reports in a transaction that the caller commits.

    Methods raise ReportNotFoundError if the owner has no such report. If `owner` is None, any user may own it.
    """

    def __init__(self, *, reports: ReportRepository, events: ReportEvents, options: ReportOptions) -> None:
        self._reports = reports
        self._events = events
        self._options = options

    async def request_report(self, body: ReportCreate, *, user_id: UUID, scope: ReportScope) -> Report:
        """Store a report and publish the event that starts the work. Raises InvalidPeriodError."""
        now = datetime.now(UTC)
        self._check_period(body, now)
        report_id = uuid4()
        row = models.Report(
            id=report_id,
            user_id=user_id,
            scope=scope,
            kind=body.kind,
            format=body.format,
            period_from=body.period_from,
            period_to=body.period_to,
            status=ReportStatus.QUEUED,
            progress=0,
            error=None,
            object_key=f"reports/{report_id}.{body.format}",
            size_bytes=None,
            created_at=now,
            finished_at=None,
        )
        await self._reports.add_report(row)
        await self._events.publish_report(ReportRequested.model_validate(row))
        log.info("report_requested", report_id=report_id, format=body.format, scope=scope)
        return self._to_schema(row)

    async def get_report(self, report_id: UUID, *, owner: UUID | None) -> Report:
        """Return a report of `owner`."""
        return self._to_schema(await self._get_row(report_id, owner=owner))

    async def get_finished_report(self, report_id: UUID, *, owner: UUID | None) -> models.Report:
        """Return a report of `owner` that is done. Raises ReportNotReadyError."""
        row = await self._get_row(report_id, owner=owner)
        if row.status is not ReportStatus.DONE:
            raise ReportNotReadyError(f"The report is {row.status}: only a report that is done has a file")
        return row

    async def begin_report(self, report_id: UUID) -> ReportJob:
        """Mark a report as running and return its job. Can be repeated. Raises ReportFinishedError."""
        row = await self._get_pending_row(report_id)
        row.status = ReportStatus.RUNNING
        total = await self._reports.count_orders(row)
        return ReportJob.model_validate(row).model_copy(update={"total": total})

    async def list_report_orders(self, report_id: UUID, *, limit: int, cursor: str | None) -> Page[Order]:
        """Return one page of the report's orders, oldest first. Raises BadRequestError for an invalid cursor.

        An order that is placed between two calls appears on the last page if the report's period includes it.
        """
        report = await self._get_row(report_id)
        after = decode_order_cursor(cursor) if cursor else None
        rows = await self._reports.list_orders(report, limit=limit + 1, after=after)
        return build_page(rows, limit=limit, item=Order.model_validate, key=lambda order: (order.created_at, order.id))

    async def update_progress(self, report_id: UUID, progress: int) -> Report:
        """Store the progress in percent and publish it once per step. Raises ReportFinishedError.

        A smaller value can arrive after a retry and changes nothing.
        """
        row = await self._get_pending_row(report_id)
        if progress > row.progress:
            step_reached = progress // PROGRESS_STEP > row.progress // PROGRESS_STEP
            row.progress = progress
            if step_reached:
                await self._events.publish_report(ReportAdvanced.model_validate(row))
        return self._to_schema(row)

    async def finish_report(self, report_id: UUID, *, size_bytes: int) -> Report:
        """Mark a report as done. Repeating it changes nothing. Raises ReportFinishedError for a failed report."""
        row = await self._get_row(report_id, lock=True)
        if row.status is not ReportStatus.DONE:
            _check_pending(row)
            row.status, row.progress, row.size_bytes = ReportStatus.DONE, COMPLETE, size_bytes
            row.finished_at = datetime.now(UTC)
            await self._events.publish_report(ReportReady.model_validate(self._to_schema(row)))
            log.info("report_done", report_id=report_id, size_bytes=size_bytes)
        return self._to_schema(row)

    async def fail_report(self, report_id: UUID, *, reason: str) -> Report:
        """Mark a report as failed. Repeating it changes nothing. Raises ReportFinishedError for a done report."""
        row = await self._get_row(report_id, lock=True)
        if row.status is not ReportStatus.FAILED:
            _check_pending(row)
            await self._fail(row, reason=reason)
        return self._to_schema(row)

    async def fail_stale_reports(self, *, min_age: timedelta, limit: int) -> int:
        """Fail at most `limit` reports that were not finished within `min_age`, and return their number.

        Otherwise a report whose event or job was dead-lettered would stay pending.
        """
        stale = await self._reports.list_pending(min_age=min_age, limit=limit)
        for row in stale:
            await self._fail(row, reason=TIMEOUT_REASON)
        return len(stale)

    async def _fail(self, row: models.Report, *, reason: str) -> None:
        row.status, row.error, row.finished_at = ReportStatus.FAILED, reason, datetime.now(UTC)
        await self._events.publish_report(ReportFailed.model_validate(row))
        log.warning("report_failed", report_id=row.id, reason=reason)

    def _check_period(self, body: ReportCreate, now: datetime) -> None:
        if body.period_to <= body.period_from:
            raise InvalidPeriodError(field="to", message="must be after from")
        max_period = self._options.max_period
        if body.period_to - body.period_from > max_period:
            raise InvalidPeriodError(field="to", message=f"makes the period longer than {max_period.days} days")
        if body.period_from > now:
            raise InvalidPeriodError(field="from", message="must not be in the future")

    async def _get_row(self, report_id: UUID, *, owner: UUID | None = None, lock: bool = False) -> models.Report:
        row = await self._reports.find_report(report_id, owner=owner, lock=lock)
        if row is None:
            raise ReportNotFoundError(report_id)
        return row

    async def _get_pending_row(self, report_id: UUID) -> models.Report:
        row = await self._get_row(report_id, lock=True)
        _check_pending(row)
        return row

    def _to_schema(self, row: models.Report) -> Report:
        report = Report.model_validate(row)
        if row.status is not ReportStatus.DONE:
            return report
        return report.model_copy(update={"download_url": f"{self._options.public_prefix}/reports/{row.id}/download"})


def _check_pending(row: models.Report) -> None:
    if row.finished:
        raise ReportFinishedError(f"The report is {row.status}, which is final")
