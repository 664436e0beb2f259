"""Alembic's entry point: `alembic -c services/orders/alembic.ini upgrade head`."""

from orders.models import Base
from shared.db.migrations import run_migrations

run_migrations(Base.metadata, service="orders")
