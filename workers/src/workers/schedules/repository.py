"""All SQL about schedules. It uses the clock of PostgreSQL, because the clocks of the workers may differ."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from workers.models import Schedule


class ScheduleRepository:
    """Queries and changes of schedules within one transaction, which the caller commits."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def now(self) -> datetime:
        """Return the start time of the transaction by the clock of PostgreSQL."""
        moment: datetime = (await self._session.execute(sa.select(sa.func.now()))).scalar_one()
        return moment

    async def register(self, name: str, *, cron: str, next_slot: datetime) -> None:
        """Insert the schedule. An existing one keeps its next slot, unless `cron` changed."""
        row = insert(Schedule).values(name=name, cron=cron, next_slot=next_slot)
        changed = {"cron": row.excluded.cron, "next_slot": row.excluded.next_slot}
        await self._session.execute(
            row.on_conflict_do_update(
                index_elements=[Schedule.name], set_=changed, where=Schedule.cron != row.excluded.cron
            )
        )

    async def lock_due(self, names: Collection[str]) -> list[Schedule]:
        """Lock and return the due schedules among `names`, except those that another worker has locked."""
        statement = (
            sa.select(Schedule)
            .where(Schedule.name.in_(names), Schedule.next_slot <= sa.func.now())
            .order_by(Schedule.next_slot)
            .with_for_update(skip_locked=True)
        )
        return list(await self._session.scalars(statement))

    async def record_slot(self, due: Schedule, *, slot: datetime, job_id: UUID | None, next_slot: datetime) -> None:
        """Store the slot that got a job, and the next slot. If `job_id` is None, the previous job id stays."""
        due.last_slot, due.last_job_id, due.next_slot = slot, job_id or due.last_job_id, next_slot
        await self._session.flush()
