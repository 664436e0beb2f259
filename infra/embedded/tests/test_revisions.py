"""The newest migrations that are read from the files are those that Alembic reports."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from embedded.environment import DATABASES
from embedded.revisions import folder_of, heads


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "1.py").write_text('revision = "one"\ndown_revision = None\n')
    (versions / "2.py").write_text('revision: str = "two"\ndown_revision: str | None = "one"\n')
    return tmp_path


class TestHeads:
    def test_heads_are_the_revisions_without_a_successor(self, migrations: Path) -> None:
        assert heads(migrations) == {"two"}

    def test_there_is_one_head_after_a_merge(self, migrations: Path) -> None:
        (migrations / "versions/3.py").write_text('revision = "three"\ndown_revision = "one"\n')
        assert heads(migrations) == {"two", "three"}
        (migrations / "versions/4.py").write_text('revision = "four"\ndown_revision = ("two", "three")\n')
        assert heads(migrations) == {"four"}

    @pytest.mark.parametrize("database", DATABASES)
    def test_heads_equal_those_of_alembic(self, database: str) -> None:
        folder = folder_of(database)
        script = ScriptDirectory.from_config(Config(str(folder / "alembic.ini")))
        assert heads(folder / "migrations") == set(script.get_heads())
