"""Metrics of the jobs that are not done. Every worker that sweeps records the same values."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from shared.telemetry.gauges import Gauge

INTERVAL_S = 10.0
"""Interval of the measurement, in seconds."""

_jobs = Gauge("hopline.jobs", unit="{job}", description="Jobs by kind and state; `due` jobs can run now")
_age = Gauge("hopline.job.age", unit="s", description="Time since the oldest unclaimed job became due")

_COUNT = sa.text("""
SELECT kind, CASE WHEN state = 'queued' AND run_after <= now() THEN 'due' ELSE state END AS state, count(*) AS jobs,
    max(CASE WHEN state = 'queued' THEN extract(epoch FROM now() - run_after) END)::float AS age
FROM job WHERE state IN ('queued', 'running', 'dead') GROUP BY 1, 2
""")
"""Reads three partial indexes. Done jobs are not counted, because they are nearly all rows of the table."""

_recorded: set[tuple[str, str]] = set()
"""Types and states recorded so far. Their metrics become 0 when they have no more jobs."""


async def measure(session: AsyncSession) -> None:
    """Record the metrics, with one statement."""
    found = {(row.kind, row.state): row for row in await session.execute(_COUNT)}
    _recorded.update(found)
    for type_name, state in _recorded:
        row = found.get((type_name, state))
        _jobs.set(row.jobs if row else 0, {"hopline.job.kind": type_name, "hopline.job.state": state})
    overdue = [row.age for (_kind, state), row in found.items() if state == "due"]
    _age.set(max(overdue, default=0.0), {})
