"""Create reports."""

import sqlalchemy as sa
from alembic import op

revision = "0004_create_reports"
down_revision = "0003_floor_of_the_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("period_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.SmallInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sa.CheckConstraint("scope IN ('own', 'all')", name=op.f("ck_report_scope_known")),
        sa.CheckConstraint("kind IN ('orders')", name=op.f("ck_report_kind_known")),
        sa.CheckConstraint("format IN ('csv', 'pdf')", name=op.f("ck_report_format_known")),
        sa.CheckConstraint("status IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_report_status_known")),
        sa.CheckConstraint("period_from < period_to", name=op.f("ck_report_period_forward")),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name=op.f("ck_report_progress_in_percent")),
        sa.CheckConstraint(
            "(status IN ('done', 'failed')) = (finished_at IS NOT NULL)", name=op.f("ck_report_finished_at")
        ),
        sa.CheckConstraint("(status = 'done') = (size_bytes IS NOT NULL)", name=op.f("ck_report_size_bytes")),
        sa.CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name=op.f("ck_report_error")),
    )
    op.create_index("ix_report_finished_at", "report", ["finished_at"])


def downgrade() -> None:
    op.drop_table("report")
