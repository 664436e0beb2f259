"""Migrations do not block traffic: indexes of existing tables are built by `shared.db.migrations.build_index`."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REVISIONS = sorted([*ROOT.glob("services/*/migrations/versions/*.py"), *ROOT.glob("workers/migrations/versions/*.py")])


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda path: f"{path.parents[2].name}/{path.stem}")
def test_index_is_created_with_its_table_or_built_concurrently(revision: Path) -> None:
    steps = revision.read_text(encoding="utf-8").partition("def upgrade")[2].partition("def downgrade")[0]
    created = set(re.findall(r'op\.create_table\(\s*"(\w+)"', steps))
    indexed = set(re.findall(r'op\.create_index\(\s*"\w+",\s*"(\w+)"', steps))
    assert indexed <= created, "use build_index in a separate revision; create_index blocks writes to an existing table"
    assert "build_index(" not in steps or len(re.findall(r"^    \w", steps, re.MULTILINE)) == 1
