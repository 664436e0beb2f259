"""What is no longer needed here."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from orders.clients import ReportFiles
from orders.events import CONSUMERS, STREAM, ReportEvents
from orders.repository.orders import OrderRepository
from orders.repository.reports import ReportRepository
from orders.service.reports import ReportRules, Reports
from orders.settings import Settings
from shared.housekeeping import Bounds, Chore, outbox_chore
from shared.objects import ObjectStore

BATCH: Final = 200
"""Less than elsewhere: a batch of reports holds its transaction while the store deletes two files of each."""


def chores(*, settings: Settings, objects: ObjectStore, redis: Redis) -> Mapping[str, Chore]:
    """Keys nobody retries any more, reports nobody makes any more, events everybody has, old reports.

    First what needs the least.
    """
    return {
        "idempotency_keys": _forget_keys(timedelta(days=settings.idempotency_keys_kept_days)),
        "lost_reports": _give_up_reports(ReportRules.of(settings), timedelta(hours=settings.report_given_up_hours)),
        "outbox": outbox_chore(
            redis=redis, stream=STREAM, groups=CONSUMERS, kept=timedelta(days=settings.outbox_kept_days)
        ),
        "reports": _prune_reports(ReportFiles(store=objects), timedelta(days=settings.report_kept_days)),
    }


def _forget_keys(kept: timedelta) -> Chore:
    async def forget(session: AsyncSession, bounds: Bounds) -> int:
        return await OrderRepository(session=session).forget_keys(kept=kept, limit=bounds.limit)

    return forget


def _give_up_reports(rules: ReportRules, after: timedelta) -> Chore:
    async def give_up(session: AsyncSession, bounds: Bounds) -> int:
        reports = Reports(reports=ReportRepository(session=session), events=ReportEvents(session=session), rules=rules)
        return await reports.give_up(after=after, limit=bounds.limit)

    return give_up


def _prune_reports(files: ReportFiles, kept: timedelta) -> Chore:
    """Files go first: where it breaks off in between, the next time finds rows without files, and goes on."""

    async def prune(session: AsyncSession, bounds: Bounds) -> int:
        reports = ReportRepository(session=session)
        old = await reports.finished_before(kept, limit=bounds.limit)
        await files.delete([report.object_key for report in old])
        await reports.delete(old)
        return len(old)

    return prune
