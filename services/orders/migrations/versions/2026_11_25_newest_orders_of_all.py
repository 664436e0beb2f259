"""Create the index by which a report on all orders reads them."""

from alembic import op

from shared.db.migrations import build_index

revision = "0005_newest_orders_of_all"
down_revision = "0004_create_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_customer_order_newest", "customer_order", ["created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_customer_order_newest", "customer_order")
