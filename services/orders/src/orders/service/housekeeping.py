"""What is no longer needed here."""

from collections.abc import Mapping
from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from orders.clients import ReportFiles
from orders.events import CONSUMERS, STREAM
from orders.repository.orders import OrderRepository
from orders.repository.reports import ReportRepository
from orders.settings import Settings
from shared.housekeeping import Bounds, Chore, outbox_chore
from shared.objects import ObjectStore


def chores(*, settings: Settings, objects: ObjectStore, redis: Redis) -> Mapping[str, Chore]:
    """Keys that nobody retries any more, events that everybody has, old reports; first what needs the least."""
    return {
        "idempotency_keys": _forget_keys(timedelta(days=settings.idempotency_keys_kept_days)),
        "outbox": outbox_chore(
            redis=redis, stream=STREAM, groups=CONSUMERS, kept=timedelta(days=settings.outbox_kept_days)
        ),
        "reports": _prune_reports(ReportFiles(store=objects), timedelta(days=settings.report_kept_days)),
    }


def _forget_keys(kept: timedelta) -> Chore:
    async def forget(session: AsyncSession, bounds: Bounds) -> int:
        return await OrderRepository(session=session).forget_keys(kept=kept, limit=bounds.limit)

    return forget


def _prune_reports(files: ReportFiles, kept: timedelta) -> Chore:
    """Files go first: where it breaks off in between, the next time finds rows without files, and goes on."""

    async def prune(session: AsyncSession, bounds: Bounds) -> int:
        reports = ReportRepository(session=session)
        old = await reports.finished_before(kept, limit=bounds.limit)
        await files.delete([report.object_key for report in old])
        await reports.delete(old)
        return len(old)

    return prune
