"""Create the tables for deleting old outbox rows: the low-water mark, and the times of acknowledgements."""

import sqlalchemy as sa
from alembic import op

revision = "floor_of_the_outbox"
down_revision = "create_users"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox_floor",
        sa.Column("single", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("single", name="pk_outbox_floor"),
        sa.CheckConstraint("single", name=op.f("ck_outbox_floor_single")),
    )
    op.create_table(
        "outbox_mark",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("noted_at", sa.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox_mark"),
    )


def downgrade() -> None:
    op.drop_table("outbox_mark")
    op.drop_table("outbox_floor")
