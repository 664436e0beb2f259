"""The cleanup tasks of this service."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from orders.clients import ReportFileClient
from orders.events import CONSUMERS, STREAM, ReportEvents
from orders.repository.orders import OrderRepository
from orders.repository.reports import ReportRepository
from orders.service.reports import ReportOptions, ReportService
from orders.settings import Settings
from shared.cleanup import CleanupLimits, CleanupTask, outbox_cleanup
from shared.db.object_store import ObjectStore

BATCH: Final = 200
"""Less than the default, because the transaction stays open while two files of each report are deleted."""


def create_cleanup_tasks(*, settings: Settings, objects: ObjectStore, redis: Redis) -> Mapping[str, CleanupTask]:
    """Return the tasks by name. Those that need Redis or the object store come last, so the others run without them."""
    return {
        "idempotency_keys": _delete_expired_keys(timedelta(days=settings.idempotency_key_retention_days)),
        "lost_reports": _fail_stale_reports(
            ReportOptions.from_settings(settings), timedelta(hours=settings.report_timeout_hours)
        ),
        "outbox": outbox_cleanup(
            redis=redis, stream=STREAM, groups=CONSUMERS, retention=timedelta(days=settings.outbox_retention_days)
        ),
        "reports": _delete_old_reports(ReportFileClient(store=objects), timedelta(days=settings.report_retention_days)),
    }


def _delete_expired_keys(retention: timedelta) -> CleanupTask:
    async def delete_expired_keys(session: AsyncSession, limits: CleanupLimits) -> int:
        return await OrderRepository(session=session).delete_expired_keys(retention=retention, limit=limits.limit)

    return delete_expired_keys


def _fail_stale_reports(options: ReportOptions, timeout: timedelta) -> CleanupTask:
    async def fail_stale_reports(session: AsyncSession, limits: CleanupLimits) -> int:
        reports = ReportService(
            reports=ReportRepository(session=session), events=ReportEvents(session=session), options=options
        )
        return await reports.fail_stale_reports(min_age=timeout, limit=limits.limit)

    return fail_stale_reports


def _delete_old_reports(files: ReportFileClient, retention: timedelta) -> CleanupTask:
    async def delete_old_reports(session: AsyncSession, limits: CleanupLimits) -> int:
        """Delete the files before their rows. After a failure in between, the next run finds the rows again."""
        reports = ReportRepository(session=session)
        old = await reports.list_finished(min_age=retention, limit=limits.limit)
        await files.delete_files([report.object_key for report in old])
        await reports.delete_reports(old)
        return len(old)

    return delete_old_reports
