"""Finds databases that need a migration, without importing Alembic, because most starts have nothing to migrate.

In unusual cases (several heads, an unknown revision) a database counts as outdated, so that Alembic decides.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from embedded.stack import ROOT


def folder_of(database: str) -> Path:
    """Return the folder of the package that owns a database; it contains alembic.ini and the migrations."""
    return ROOT / "workers" if database == "workers" else ROOT / "services" / database


async def outdated(urls: Mapping[str, str]) -> dict[str, str]:
    """Return the databases of `{name: url}` that are not at the newest version."""
    return {name: url for name, url in urls.items() if heads(folder_of(name) / "migrations") != await _versions(url)}


def heads(migrations: Path) -> set[str]:
    """Return the heads: the revisions in `versions/` that are not the `down_revision` of another revision."""
    revisions, built_on = set[str](), set[str]()
    for path in sorted((migrations / "versions").glob("*.py")):
        assigned = _assignments(path)
        revisions |= assigned["revision"]
        built_on |= assigned["down_revision"]
    return revisions - built_on


def _assignments(path: Path) -> dict[str, set[str]]:
    """Return the strings assigned to `revision` and `down_revision` at the top of a migration."""
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in found:
                values = (node.value for node in ast.walk(statement) if isinstance(node, ast.Constant))
                found[target.id] |= {value for value in values if isinstance(value, str)}
    return found


async def _versions(url: str) -> set[str]:
    """Return the versions that Alembic recorded in a database; empty for a new one."""
    connection = await asyncpg.connect(url)
    try:
        return {row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version")}
    except asyncpg.UndefinedTableError:
        return set()
    finally:
        await connection.close()
