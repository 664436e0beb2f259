"""Alembic's entry point: `alembic -c services/notifications/alembic.ini upgrade head`."""

from notifications.models import Base
from shared.db.migrations import run_migrations

run_migrations(Base.metadata, service="notifications")
