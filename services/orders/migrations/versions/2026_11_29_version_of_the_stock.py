"""Add a version to the stock of each product."""

import sqlalchemy as sa
from alembic import op

revision = "0006_version_of_the_stock"
down_revision = "0005_newest_orders_of_all"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("product", sa.Column("stock_version", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("product", "stock_version")
