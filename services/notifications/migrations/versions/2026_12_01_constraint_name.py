"""Rename a check constraint whose name repeats its prefix. The models and later migrations use the new name."""

from alembic import op

revision = "2026_12_01_constraint_name"
down_revision = "2026_11_29_operator_status"
branch_labels = None
depends_on = None

OLD = "ck_feed_head_ck_feed_head_read_seq_within_feed"
NEW = "ck_feed_head_read_seq_within_feed"


def upgrade() -> None:
    op.execute(f"ALTER TABLE feed_head RENAME CONSTRAINT {OLD} TO {NEW}")


def downgrade() -> None:
    op.execute(f"ALTER TABLE feed_head RENAME CONSTRAINT {NEW} TO {OLD}")
