"""Alembic's entry: `alembic -c workers/alembic.ini upgrade head`."""

from shared.db.migrations import run_migrations
from workers.models import Base

run_migrations(Base.metadata, service="workers")
