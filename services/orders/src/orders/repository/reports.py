"""Reports, and the orders that are in them."""

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

    async def add(self, report: Report) -> None:
        """Write a new report."""
        self._session.add(report)
        await self._session.flush()

    async def find(self, report_id: UUID, *, owner: UUID | None = None, lock: bool = False) -> Report | None:
        """Return the report, if it is `owner`'s (None: anybody's); with `lock`, nobody else changes it meanwhile."""
        query = select(Report).where(Report.id == report_id)
        if owner is not None:
            query = query.where(Report.user_id == owner)
        if lock:
            query = query.with_for_update()
        return await self._session.scalar(query)

    async def count_orders(self, report: Report) -> int:
        """How many orders are in the report as of now."""
        counted = select(func.count()).select_from(Order).where(*_in(report))
        return await self._session.scalar(counted) or 0

    async def orders(self, report: Report, *, limit: int, after: tuple[datetime, UUID] | None) -> Sequence[Order]:
        """Return at most `limit` orders of the report, oldest first, those younger than `after`; two statements."""
        query = (
            select(Order)
            .where(*_in(report))
            .order_by(Order.created_at, Order.id)
            .limit(limit)
            .options(selectinload(Order.items))
        )
        if after is not None:
            query = query.where(tuple_(Order.created_at, Order.id) > after)
        return (await self._session.scalars(query)).all()

    async def finished_before(self, age: timedelta, *, limit: int) -> Sequence[Report]:
        """Return reports that were finished longer ago than `age`, locked, without those that somebody else is at."""
        query = (
            select(Report)
            .where(Report.finished_at < func.now() - age)
            .order_by(Report.finished_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._session.scalars(query)).all()

    async def unfinished_for(self, age: timedelta, *, limit: int) -> Sequence[Report]:
        """Return reports asked for longer ago than `age` that have no end yet, locked, but for those in other hands."""
        query = (
            select(Report)
            .where(Report.finished_at.is_(None), Report.created_at < func.now() - age)
            .order_by(Report.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._session.scalars(query)).all()

    async def delete(self, reports: Sequence[Report]) -> None:
        """Forget these."""
        await self._session.execute(delete(Report).where(Report.id.in_([report.id for report in reports])))


def _in(report: Report) -> list[ColumnElement[bool]]:
    """What makes an order one of the report's."""
    period = [Order.created_at >= report.period_from, Order.created_at < report.period_to]
    return period if report.scope is ReportScope.ALL else [*period, Order.user_id == report.user_id]
