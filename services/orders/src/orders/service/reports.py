"""Reports: asking for one, following it, and what the worker that makes it says about it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID, uuid4

import structlog

from orders.errors import ReportFinished, ReportNotFound, ReportNotReady, WrongPeriod
from orders.events import ReportAdvanced, ReportEvents, ReportFailed, ReportReady, ReportRequested
from orders.models import COMPLETE, Report, ReportScope, ReportStatus
from orders.repository.reports import ReportRepository
from orders.schemas import NewReport, OrderOut, ReportOut, ReportWork
from orders.service.positions import position_in
from orders.settings import Settings
from shared.pages import Page, page_of

log = structlog.get_logger(__name__)

STEP: Final = 10
"""Percent. Progress is kept as it is told and published once per step: at most nine events, however it is told."""

LOST: Final = "It could not be made in time. Please ask for a new one."
"""The reason of a report that nobody has brought to an end."""


@dataclass(frozen=True, kw_only=True)
class ReportRules:
    """How long a period may be, and what stands before the public path of a file."""

    longest: timedelta
    public_prefix: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the settings."""
        return cls(longest=timedelta(days=settings.report_longest_days), public_prefix=settings.public_prefix)


class Reports:
    """The life of reports, inside one transaction that the caller commits."""

    def __init__(self, *, reports: ReportRepository, events: ReportEvents, rules: ReportRules) -> None:
        self._reports = reports
        self._events = events
        self._rules = rules

    async def request(self, wanted: NewReport, *, user_id: UUID, scope: ReportScope) -> ReportOut:
        """Write down what is wanted and have it made; raises WrongPeriod."""
        now = datetime.now(UTC)
        self._check_period(wanted, now)
        report_id = uuid4()
        report = Report(
            id=report_id,
            user_id=user_id,
            scope=scope,
            kind=wanted.kind,
            format=wanted.format,
            period_from=wanted.period_from,
            period_to=wanted.period_to,
            status=ReportStatus.QUEUED,
            progress=0,
            error=None,
            object_key=f"reports/{report_id}.{wanted.format}",
            size_bytes=None,
            created_at=now,
            finished_at=None,
        )
        await self._reports.add(report)
        await self._events.announce(ReportRequested.model_validate(report))
        log.info("report_requested", report_id=report_id, format=wanted.format, scope=scope)
        return self._out(report)

    async def get(self, report_id: UUID, *, owner: UUID | None) -> ReportOut:
        """Return a report of `owner` (None: of anybody), or raise ReportNotFound."""
        return self._out(await self._find(report_id, owner=owner))

    async def done(self, report_id: UUID, *, owner: UUID | None) -> Report:
        """Return a report that has its file; raises ReportNotFound and ReportNotReady."""
        report = await self._find(report_id, owner=owner)
        if report.status is not ReportStatus.DONE:
            raise ReportNotReady(f"The report is {report.status}: only of one that is done there is a file")
        return report

    async def begin(self, report_id: UUID) -> ReportWork:
        """Say that the report is being made, also for the second time; raises ReportNotFound and ReportFinished."""
        report = await self._unfinished(report_id)
        report.status = ReportStatus.RUNNING
        total = await self._reports.count_orders(report)
        return ReportWork.model_validate(report).model_copy(update={"total": total})

    async def orders(self, report_id: UUID, *, limit: int, cursor: str | None) -> Page[OrderOut]:
        """Return one page of the report's orders, oldest first; raises ReportNotFound, and BadRequest for the cursor.

        Orders that are placed meanwhile come at the end, where they still fall into the period.
        """
        report = await self._find(report_id)
        after = position_in(cursor) if cursor else None
        rows = await self._reports.orders(report, limit=limit + 1, after=after)
        return page_of(rows, limit=limit, item=OrderOut.model_validate, key=lambda order: (order.created_at, order.id))

    async def advance(self, report_id: UUID, progress: int) -> ReportOut:
        """Note progress in percent, which only grows: what was overtaken changes nothing, as after a retry.

        Raises ReportNotFound and ReportFinished.
        """
        report = await self._unfinished(report_id)
        if progress > report.progress:
            step_made = progress // STEP > report.progress // STEP
            report.progress = progress
            if step_made:
                await self._events.announce(ReportAdvanced.model_validate(report))
        return self._out(report)

    async def finish(self, report_id: UUID, *, size_bytes: int) -> ReportOut:
        """Say that the file is there. Saying it again changes nothing; of a failed report it raises ReportFinished."""
        report = await self._find(report_id, lock=True)
        if report.status is not ReportStatus.DONE:
            _refuse_finished(report)
            report.status, report.progress, report.size_bytes = ReportStatus.DONE, COMPLETE, size_bytes
            report.finished_at = datetime.now(UTC)
            await self._events.announce(ReportReady.model_validate(self._out(report)))
            log.info("report_done", report_id=report_id, size_bytes=size_bytes)
        return self._out(report)

    async def fail(self, report_id: UUID, *, reason: str) -> ReportOut:
        """Say that there will be no file, and why. Saying it again changes nothing; of a done one: ReportFinished."""
        report = await self._find(report_id, lock=True)
        if report.status is not ReportStatus.FAILED:
            _refuse_finished(report)
            await self._end_without_file(report, reason=reason)
        return self._out(report)

    async def give_up(self, *, after: timedelta, limit: int) -> int:
        """Fail at most `limit` reports asked for longer ago than `after` that have no end; how many.

        The floor under the worker: where the event or the job is dead, nobody else would ever tell who waits.
        """
        lost = await self._reports.unfinished_for(after, limit=limit)
        for report in lost:
            await self._end_without_file(report, reason=LOST)
        return len(lost)

    async def _end_without_file(self, report: Report, *, reason: str) -> None:
        report.status, report.error, report.finished_at = ReportStatus.FAILED, reason, datetime.now(UTC)
        await self._events.announce(ReportFailed.model_validate(report))
        log.warning("report_failed", report_id=report.id, reason=reason)

    def _check_period(self, wanted: NewReport, now: datetime) -> None:
        if wanted.period_to <= wanted.period_from:
            raise WrongPeriod(field="to", message="must be after from")
        if wanted.period_to - wanted.period_from > self._rules.longest:
            raise WrongPeriod(field="to", message=f"must be at most {self._rules.longest.days} days after from")
        if wanted.period_from > now:
            raise WrongPeriod(field="from", message="must not be in the future")

    async def _find(self, report_id: UUID, *, owner: UUID | None = None, lock: bool = False) -> Report:
        report = await self._reports.find(report_id, owner=owner, lock=lock)
        if report is None:
            raise ReportNotFound(report_id)
        return report

    async def _unfinished(self, report_id: UUID) -> Report:
        report = await self._find(report_id, lock=True)
        _refuse_finished(report)
        return report

    def _download_url(self, report: Report) -> str:
        return f"{self._rules.public_prefix}/reports/{report.id}/download"

    def _out(self, report: Report) -> ReportOut:
        out = ReportOut.model_validate(report)
        done = report.status is ReportStatus.DONE
        return out.model_copy(update={"download_url": self._download_url(report)}) if done else out


def _refuse_finished(report: Report) -> None:
    if report.finished:
        raise ReportFinished(f"The report is {report.status}, and stays so")
