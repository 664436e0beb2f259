"""Reports and the orders in them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from orders.models import Order, Report, ReportScope


class ReportRepository:
    """Reads and writes reports in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def add_report(self, report: Report) -> None:
        """Insert a report."""
        self._session.add(report)
        await self._session.flush()

    async def find_report(self, report_id: UUID, *, owner: UUID | None = None, lock: bool = False) -> Report | None:
        """Return the report, or None if it does not exist or belongs to a user other than `owner`.

        If `owner` is None, any user may own it. `lock` locks the row until the transaction ends.
        """
        query = select(Report).where(Report.id == report_id)
        if owner is not None:
            query = query.where(Report.user_id == owner)
        if lock:
            query = query.with_for_update()
        return await self._session.scalar(query)

    async def count_orders(self, report: Report) -> int:
        """Return the present number of orders in the report."""
        query = select(func.count()).select_from(Order).where(*_order_filter(report))
        return await self._session.scalar(query) or 0

    async def list_orders(self, report: Report, *, limit: int, after: tuple[datetime, UUID] | None) -> Sequence[Order]:
        """Return at most `limit` orders of the report that are newer than `after`, oldest first, in two statements."""
        query = (
            select(Order)
            .where(*_order_filter(report))
            .order_by(Order.created_at, Order.id)
            .limit(limit)
            .options(selectinload(Order.items))
        )
        if after is not None:
            query = query.where(tuple_(Order.created_at, Order.id) > after)
        return (await self._session.scalars(query)).all()

    async def list_finished(self, *, min_age: timedelta, limit: int) -> Sequence[Report]:
        """Lock and return at most `limit` reports that finished longer ago than `min_age`. Skips locked rows."""
        query = (
            select(Report)
            .where(Report.finished_at < func.now() - min_age)
            .order_by(Report.finished_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._session.scalars(query)).all()

    async def list_pending(self, *, min_age: timedelta, limit: int) -> Sequence[Report]:
        """Lock and return at most `limit` pending reports that are older than `min_age`. Skips locked rows."""
        query = (
            select(Report)
            .where(Report.finished_at.is_(None), Report.created_at < func.now() - min_age)
            .order_by(Report.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._session.scalars(query)).all()

    async def delete_reports(self, reports: Sequence[Report]) -> None:
        """Delete these reports."""
        await self._session.execute(delete(Report).where(Report.id.in_([report.id for report in reports])))


def _order_filter(report: Report) -> list[ColumnElement[bool]]:
    period = [Order.created_at >= report.period_from, Order.created_at < report.period_to]
    return period if report.scope is ReportScope.ALL else [*period, Order.user_id == report.user_id]
