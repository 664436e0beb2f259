"""Alembic's entry point: `alembic -c services/users/alembic.ini upgrade head`."""

from shared.db.migrations import run_migrations
from users.models import Base

run_migrations(Base.metadata, service="users")
