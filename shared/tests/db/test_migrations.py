"""The output of a migration that fails."""

from pathlib import Path

import pytest

from shared.config import CONFIGURATION_ERROR
from shared.db.migrations import database_url
from testkit.databases import run_alembic

ENVIRONMENT = """
import sqlalchemy as sa
from shared.db.migrations import run_migrations
run_migrations(sa.MetaData(), service="orders")
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.get_bind().execute(sa.text("SELECT CAST(:value AS text) FROM missing"), {"value": "ann"})
"""


async def test_error_contains_no_values_when_a_statement_fails(database: str, tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\npath_separator = os\n")
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "first.py").write_text(MIGRATION)
    status, output = await run_alembic(tmp_path / "alembic.ini", database, "upgrade", "head")
    assert status == 1
    assert 'relation "missing" does not exist' in output
    assert "[SQL parameters hidden due to hide_parameters=True]" in output


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("DATABASE_URL_FILE", "/nowhere/url", "DATABASE_URL_FILE: cannot read /nowhere/url: No such file or directory"),
        ("DATABASE_URL", "localhost", "DATABASE_URL: Input should be a valid URL"),
        ("DATABASE_URL", "", "DATABASE_URL: Field required"),
    ],
)
def test_error_names_the_variable_when_the_url_is_missing_or_invalid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, error: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        database_url()
    assert stopped.value.code == CONFIGURATION_ERROR
    assert f"configuration error: {error}" in capsys.readouterr().err
