"""Create the index for the deletion of old done jobs."""

import sqlalchemy as sa
from alembic import op

from shared.db.migrations import build_index

revision = "done_jobs_by_age"
down_revision = "inbox_tells_by_whom"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_job_done", "job", ["finished_at"], postgresql_where=sa.text("state = 'done'"))


def downgrade() -> None:
    op.drop_index("ix_job_done", "job")
