"""Alembic's entry: `alembic -c services/notifications/alembic.ini upgrade head`."""

from notifications.models import Base
from shared.migrations import run_migrations

run_migrations(Base.metadata, service="notifications")
