"""Create the view that `make status` reads."""

from alembic import op

revision = "operator_status"
down_revision = "done_jobs_by_age"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW operator_status AS
SELECT json_build_object(
    'dead_letters', (SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL),
    'jobs', (
        SELECT coalesce(json_object_agg(state, jobs ORDER BY state), '{}')
        FROM (SELECT state, count(*) AS jobs FROM job GROUP BY state) AS by_state
    ),
    'schedules', (
        SELECT coalesce(json_agg(json_build_object(
            'name', schedule.name,
            'last_slot', to_char(last_slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'),
            'last_state', job.state,
            'next_slot', to_char(next_slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')
        ) ORDER BY next_slot, schedule.name), '[]')
        FROM schedule LEFT JOIN job ON job.id = schedule.last_job_id
    )
) AS status
"""


def upgrade() -> None:
    op.execute(VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW operator_status")
