"""How many jobs there are and how late the oldest is, as metrics; told by every worker that sweeps, alike."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from shared.gauges import Gauge

LOOK_S = 10.0

_jobs = Gauge("hopline.jobs", unit="{job}", description="Jobs by kind and state; `due` ones could run now")
_age = Gauge("hopline.job.age", unit="s", description="How long the oldest job has been due that no worker has taken")

_COUNT = sa.text("""
SELECT kind, CASE WHEN state = 'queued' AND run_after <= now() THEN 'due' ELSE state END AS state, count(*) AS jobs,
    max(CASE WHEN state = 'queued' THEN extract(epoch FROM now() - run_after) END)::float AS age
FROM job WHERE state IN ('queued', 'running', 'dead') GROUP BY 1, 2
""")
"""Three partial indexes: what is done, which is nearly all, is not looked at."""

_seen: set[tuple[str, str]] = set()


async def look(session: AsyncSession) -> None:
    """Look once; one statement."""
    found = {(row.kind, row.state): row for row in await session.execute(_COUNT)}
    _seen.update(found)
    for kind, state in _seen:
        row = found.get((kind, state))
        _jobs.set(row.jobs if row else 0, {"hopline.job.kind": kind, "hopline.job.state": state})
    overdue = [row.age for (_kind, state), row in found.items() if state == "due"]
    _age.set(max(overdue, default=0.0), {})
