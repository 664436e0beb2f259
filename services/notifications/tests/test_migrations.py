"""The migrations create the tables that the models describe."""

import os
import subprocess
import sys
from pathlib import Path

INI = Path(__file__).parents[1] / "alembic.ini"


class TestMigrations:
    def test_migrated_schema_matches_the_models(self, database: str) -> None:
        result = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", "alembic", "-c", str(INI), "check"],
            env={**os.environ, "DATABASE_URL": database},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
