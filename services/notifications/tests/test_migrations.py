"""The migrations create the tables that the models describe, and can be reverted."""

import os
import subprocess
import sys
from pathlib import Path

INI = Path(__file__).parents[1] / "alembic.ini"


class TestMigrations:
    def test_migrated_schema_matches_the_models(self, database: str) -> None:
        run_alembic(database, "check")

    def test_downgrade_and_upgrade_succeed(self, database: str) -> None:
        run_alembic(database, "downgrade", "base")
        run_alembic(database, "upgrade", "head")


def run_alembic(database: str, *arguments: str) -> None:
    """Run alembic and assert that it succeeds."""
    result = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "alembic", "-c", str(INI), *arguments],
        env={**os.environ, "DATABASE_URL": database},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
