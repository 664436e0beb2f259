"""Which databases are behind their migrations, found without importing Alembic: most starts have nothing to migrate.

Where anything is unusual (several heads, a revision that no file has) a database counts as behind, so that Alembic
itself decides.
"""

import ast
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from embedded.stack import ROOT


def folder_of(database: str) -> Path:
    """Give the folder of the package that owns a database, with its alembic.ini and migrations."""
    return ROOT / "workers" if database == "workers" else ROOT / "services" / database


async def behind(urls: Mapping[str, str]) -> dict[str, str]:
    """Give those of the databases `{name: url}` that are not at the newest version of their migrations."""
    return {name: url for name, url in urls.items() if heads(folder_of(name) / "migrations") != await _versions(url)}


def heads(migrations: Path) -> set[str]:
    """Give the revisions that no other builds on, read from the files below `versions/`."""
    revisions, built_on = set[str](), set[str]()
    for path in sorted((migrations / "versions").glob("*.py")):
        assigned = _assignments(path)
        revisions |= assigned["revision"]
        built_on |= assigned["down_revision"]
    return revisions - built_on


def _assignments(path: Path) -> dict[str, set[str]]:
    """Give the strings assigned to `revision` and `down_revision` at the top of a migration."""
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in found:
                values = (node.value for node in ast.walk(statement) if isinstance(node, ast.Constant))
                found[target.id] |= {value for value in values if isinstance(value, str)}
    return found


async def _versions(url: str) -> set[str]:
    """Give what Alembic noted in a database; nothing in a new one."""
    connection = await asyncpg.connect(url)
    try:
        return {row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version")}
    except asyncpg.UndefinedTableError:
        return set()
    finally:
        await connection.close()
