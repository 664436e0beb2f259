"""The only SQL about schedules. Slots are judged by Postgres' clock, so that workers' clocks need not agree."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from workers.models import Schedule


class Timetable:
    """The schedules within one transaction, which the caller commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def now(self) -> datetime:
        """Postgres' clock, in this transaction."""
        moment: datetime = (await self._session.execute(sa.select(sa.func.now()))).scalar_one()
        return moment

    async def enter(self, name: str, *, cron: str, next_slot: datetime) -> None:
        """Let the schedule be known; one that is, keeps its slot unless its `cron` has changed."""
        row = insert(Schedule).values(name=name, cron=cron, next_slot=next_slot)
        changed = {"cron": row.excluded.cron, "next_slot": row.excluded.next_slot}
        await self._session.execute(
            row.on_conflict_do_update(
                index_elements=[Schedule.name], set_=changed, where=Schedule.cron != row.excluded.cron
            )
        )

    async def due(self, names: Collection[str]) -> list[Schedule]:
        """Those of `names` whose slot has come, locked; those that another worker is at are left to it."""
        rows = (
            sa.select(Schedule)
            .where(Schedule.name.in_(names), Schedule.next_slot <= sa.func.now())
            .order_by(Schedule.next_slot)
            .with_for_update(skip_locked=True)
        )
        return list(await self._session.scalars(rows))

    async def pass_slot(self, due: Schedule, *, slot: datetime, job_id: UUID | None, next_slot: datetime) -> None:
        """Write down that `slot` has become a job, and when the next one comes."""
        due.last_slot, due.last_job_id, due.next_slot = slot, job_id or due.last_job_id, next_slot
        await self._session.flush()
