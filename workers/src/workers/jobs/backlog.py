"""Metrics of the jobs that are not done. Every worker that sweeps records the same values."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from shared.telemetry.gauges import Gauge

INTERVAL_S = 10.0

_jobs = Gauge("hopline.jobs", unit="{job}", description="Jobs by kind and state; `due` ones could run now")
_age = Gauge("hopline.job.age", unit="s", description="How long the oldest job has been due that no worker has taken")

_COUNT = sa.text("""
SELECT kind, CASE WHEN state = 'queued' AND run_after <= now() THEN 'due' ELSE state END AS state, count(*) AS jobs,
    max(CASE WHEN state = 'queued' THEN extract(epoch FROM now() - run_after) END)::float AS age
FROM job WHERE state IN ('queued', 'running', 'dead') GROUP BY 1, 2
""")
"""Reads three partial indexes. Done jobs, nearly all of the table, are not counted."""

_recorded: set[tuple[str, str]] = set()
"""Types and states recorded so far, which become 0 when their jobs are gone."""


async def measure(session: AsyncSession) -> None:
    """Record the metrics, with one statement."""
    found = {(row.kind, row.state): row for row in await session.execute(_COUNT)}
    _recorded.update(found)
    for type_name, state in _recorded:
        row = found.get((type_name, state))
        _jobs.set(row.jobs if row else 0, {"hopline.job.kind": type_name, "hopline.job.state": state})
    overdue = [row.age for (_kind, state), row in found.items() if state == "due"]
    _age.set(max(overdue, default=0.0), {})
