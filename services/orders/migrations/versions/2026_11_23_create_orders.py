"""Create products, orders, order items, idempotency keys and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_create_orders"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit_price_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="EUR", nullable=False),
        sa.Column("stock", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), server_default="0", nullable=False),
        sa.Column("shipped", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_product"),
        sa.CheckConstraint("unit_price_cents > 0", name=op.f("ck_product_price_positive")),
        sa.CheckConstraint("currency = 'EUR'", name=op.f("ck_product_one_currency")),
        sa.CheckConstraint("reserved BETWEEN 0 AND stock", name=op.f("ck_product_reserved_within_stock")),
        sa.CheckConstraint("shipped >= 0", name=op.f("ck_product_shipped_not_negative")),
    )
    op.create_table(
        "customer_order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customer_order"),
        sa.CheckConstraint(
            "status IN ('placed', 'packed', 'shipped', 'cancelled')", name=op.f("ck_customer_order_status_known")
        ),
        sa.CheckConstraint("total_cents > 0", name=op.f("ck_customer_order_total_positive")),
    )
    op.create_index("ix_customer_order_user_id_newest", "customer_order", ["user_id", "created_at", "id"])
    op.create_index(
        "ix_customer_order_user_id_status_newest", "customer_order", ["user_id", "status", "created_at", "id"]
    )
    op.create_table(
        "order_item",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price_cents", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "sku", name="pk_order_item"),
        sa.ForeignKeyConstraint(["order_id"], ["customer_order.id"], name="fk_order_item_order_id"),
        sa.ForeignKeyConstraint(["sku"], ["product.sku"], name="fk_order_item_sku"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_item_quantity_positive")),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency_key"),
        sa.ForeignKeyConstraint(["order_id"], ["customer_order.id"], name="fk_idempotency_key_order_id"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("pub_seq", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("time", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("tracestate", sa.Text(), nullable=True),
        sa.Column("baggage", sa.Text(), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("outbox_pub_seq_key", "outbox", ["pub_seq"], unique=True)
    op.create_index("outbox_unsealed_idx", "outbox", ["position"], postgresql_where=sa.text("pub_seq IS NULL"))


def downgrade() -> None:
    for table in ("outbox", "idempotency_key", "order_item", "customer_order", "product"):
        op.drop_table(table)
