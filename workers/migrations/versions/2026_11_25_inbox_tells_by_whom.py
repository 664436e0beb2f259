"""Add to each inbox row the trace context of the span that applied the event."""

import sqlalchemy as sa
from alembic import op

revision = "inbox_tells_by_whom"
down_revision = "create_schedules"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inbox", sa.Column("traceparent", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("inbox", "traceparent")
