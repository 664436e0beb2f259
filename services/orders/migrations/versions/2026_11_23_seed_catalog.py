"""Seed the catalog.

Every stock is below the largest quantity of an order item. Some products are scarce and one is sold out, so that
responses for missing stock can be seen.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_seed_catalog"
down_revision = "0001_create_orders"
branch_labels = None
depends_on = None

PRODUCTS = [
    # sku, name, price in cents, stock
    ("BAG-CANVAS", "Canvas tote bag", 1490, 9000),
    ("BAG-MESSENGER", "Waxed messenger bag", 11900, 1200),
    ("BOOK-FERMENT", "The Patient Fermenter", 2800, 6000),
    ("BOOK-HOPS", "A Field Guide to Hops", 3450, 7500),
    ("BOTTLE-STEEL-05", "Steel bottle 0.5 l", 2195, 9500),
    ("BOTTLE-STEEL-10", "Steel bottle 1.0 l", 2995, 8000),
    ("CAP-WOOL", "Wool cap", 2450, 5000),
    ("COASTER-CORK-6", "Cork coasters, set of six", 990, 9900),
    ("COFFEE-DARK-1000", "Dark roast coffee 1 kg", 1890, 9000),
    ("COFFEE-LIGHT-250", "Light roast coffee 250 g", 895, 9000),
    ("GLASS-PINT-4", "Pint glasses, set of four", 2290, 6500),
    ("GLASS-TULIP-2", "Tulip glasses, set of two", 1790, 6500),
    ("HOPS-CASCADE-100", "Cascade hops 100 g", 690, 9900),
    ("HOPS-SAAZ-100", "Saaz hops 100 g", 720, 9900),
    ("JAM-QUINCE-340", "Quince jam 340 g", 595, 8500),
    ("KETTLE-STOVE-20", "Stovetop brewing kettle 20 l", 14900, 400),
    ("LAMP-DESK", "Brass desk lamp", 8950, 350),
    ("LAMP-SIGNED", "Brass desk lamp, signed edition", 24900, 3),
    ("MUG-ENAMEL-BLUE", "Enamel mug, blue", 1250, 9500),
    ("MUG-ENAMEL-WHITE", "Enamel mug, white", 1250, 9500),
    ("NOTEBOOK-A5", "Brewer's notebook A5", 1195, 9900),
    ("OPENER-IRON", "Forged bottle opener", 1650, 4000),
    ("POSTER-ATLAS-A2", "Hop atlas poster A2", 2600, 25),
    ("SCALE-POCKET", "Pocket scale 0.1 g", 2340, 3000),
    ("SOCKS-HOP-M", "Hop socks, size M", 1090, 9000),
    ("SOCKS-HOP-XL", "Hop socks, size XL", 1090, 0),
    ("SPOON-BEECH", "Beech mash spoon 60 cm", 1380, 5500),
    ("TEA-HOP-50", "Hop flower tea 50 g", 780, 8000),
    ("THERMO-DIGITAL", "Digital thermometer", 1990, 4500),
    ("YEAST-ALE", "Dry ale yeast 11 g", 450, 9900),
]

product = sa.table(
    "product",
    sa.column("sku", sa.Text),
    sa.column("name", sa.Text),
    sa.column("unit_price_cents", sa.Integer),
    sa.column("stock", sa.Integer),
)


def upgrade() -> None:
    columns = [column.name for column in product.columns]
    op.bulk_insert(product, [dict(zip(columns, row, strict=True)) for row in PRODUCTS])


def downgrade() -> None:
    op.execute(product.delete().where(product.c.sku.in_([row[0] for row in PRODUCTS])))
