"""Create the schedules."""

import sqlalchemy as sa
from alembic import op

revision = "create_schedules"
down_revision = "create_jobs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedule",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("next_slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_slot", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_job_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_schedule"),
        sa.ForeignKeyConstraint(["last_job_id"], ["job.id"], name="fk_schedule_last_job_id", ondelete="SET NULL"),
    )


def downgrade() -> None:
    op.drop_table("schedule")
