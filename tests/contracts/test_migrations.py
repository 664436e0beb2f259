"""Migrations of all services: they match the models and can be reverted.

They do not block writes while an index of an existing table is built (`shared.db.migrations.build_index`).
"""

import importlib
import importlib.util
import io
import re
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import op
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db.migrations import build_index
from shared.db.urls import async_url
from testkit.databases import MigratedDatabase, alembic_ini, run_alembic

ROOT = Path(__file__).parents[2]
REVISIONS = sorted([*ROOT.glob("services/*/migrations/versions/*.py"), *ROOT.glob("workers/migrations/versions/*.py")])

CHECK_CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype = 'c' AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY conname
"""

NAME = r'"?(\w+)"?'
CREATED = re.compile(rf"\bCREATE TABLE (?:IF NOT EXISTS )?{NAME}", re.IGNORECASE)
INDEXED = re.compile(rf"\bCREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)(?:\S+ )*?ON (?:ONLY )?{NAME}", re.IGNORECASE)
CONSTRAINED = re.compile(
    rf"\bALTER TABLE (?:IF EXISTS )?(?:ONLY )?{NAME} ADD [^;]*\b(?:UNIQUE|PRIMARY KEY|EXCLUDE)\b(?! USING INDEX)",
    re.IGNORECASE,
)
"""Unique constraints, primary keys and exclusion constraints build an index."""

each_service = pytest.mark.parametrize("service", ["users", "orders", "notifications", "workers"])


@each_service
async def test_migrated_schema_matches_the_models_and_can_be_reverted(
    migrated_database: MigratedDatabase, service: str
) -> None:
    url = await migrated_database(service)
    for command in ("check", "downgrade base", "upgrade head"):
        status, output = await run_alembic(alembic_ini(ROOT, service), url, *command.split())
        assert status == 0, output


@each_service
async def test_check_constraints_match_the_models(
    migrated_database: MigratedDatabase, database: str, service: str
) -> None:
    """`alembic check` does not compare check constraints, and those of orders prevent overselling."""
    engine = create_async_engine(async_url(database))
    async with engine.begin() as connection:
        await connection.run_sync(importlib.import_module(f"{service}.models").Base.metadata.create_all)
    await engine.dispose()
    migrated = await list_check_constraints(await migrated_database(service))
    assert migrated == await list_check_constraints(database)
    assert migrated


async def list_check_constraints(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(CHECK_CONSTRAINTS)]
    finally:
        await connection.close()


def render(upgrade: Callable[[], None]) -> str:
    """Return the statements of a revision on one line, as `alembic upgrade --sql` prints them."""
    output = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "literal_binds": True, "output_buffer": output}
    )
    with Operations.context(context), context.begin_transaction():
        upgrade()
    return " ".join(output.getvalue().split())


def find_violation(upgrade: Callable[[], None]) -> str | None:
    """Return advice if a revision builds an index that blocks writes, or None."""
    statements = render(upgrade)
    existing = {*INDEXED.findall(statements), *CONSTRAINED.findall(statements)} - set(CREATED.findall(statements))
    if existing:
        return f"use build_index in a separate revision: this index blocks writes to {', '.join(sorted(existing))}"
    transactions = [part for part in re.findall(r"\bBEGIN;(.*?)COMMIT;", statements) if part.strip()]
    if "INDEX CONCURRENTLY" in statements and transactions:
        return "move the other steps to a separate revision: build_index commits the transaction of its revision"
    return None


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda path: f"{path.parents[2].name}/{path.stem}")
def test_index_is_created_with_its_table_or_built_concurrently(revision: Path) -> None:
    spec = importlib.util.spec_from_file_location(revision.stem, revision)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert find_violation(module.upgrade) is None


def create_table() -> None:
    op.create_table("product", sa.Column("sku", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("sku"))


def build_only() -> None:
    build_index("product_sku_idx", "product", ["sku"])


def create_both() -> None:
    create_table()
    op.create_index(op.f("product_sku_idx"), "product", ["sku"])
    op.create_unique_constraint("product_sku_key", "product", ["sku"])


def add_column_and_build() -> None:
    op.add_column("product", sa.Column("code", sa.Text()))
    build_only()


def build_and_add_column() -> None:
    build_only()
    op.add_column("product", sa.Column("code", sa.Text()))


@pytest.mark.parametrize("upgrade", [create_both, build_only], ids=lambda upgrade: upgrade.__name__)
def test_revision_is_accepted_when_it_does_not_block_writes(upgrade: Callable[[], None]) -> None:
    assert find_violation(upgrade) is None


@pytest.mark.parametrize(
    "step",
    [
        lambda: op.create_index("product_sku_idx", "product", ["sku"]),
        lambda: op.create_index(op.f("product_sku_idx"), "product", ["sku"], unique=True, if_not_exists=True),
        lambda: op.create_index("product_sku_idx", table_name="product", columns=["sku"]),
        lambda: op.create_unique_constraint("product_sku_key", "product", ["sku"]),
        lambda: op.create_primary_key("product_pkey", "product", ["sku"]),
        lambda: op.add_column("product", sa.Column("code", sa.Text(), unique=True)),
        lambda: op.execute("CREATE INDEX ON product (sku)"),
        lambda: op.execute('create unique index "product_sku_idx" on only "product" (sku)'),
    ],
)
def test_revision_is_rejected_when_it_builds_an_index_of_an_existing_table(step: Callable[[], None]) -> None:
    assert str(find_violation(step)).endswith("this index blocks writes to product")


@pytest.mark.parametrize("upgrade", [add_column_and_build, build_and_add_column], ids=lambda upgrade: upgrade.__name__)
def test_revision_is_rejected_when_build_index_is_not_its_only_step(upgrade: Callable[[], None]) -> None:
    assert str(find_violation(upgrade)).startswith("move the other steps to a separate revision")
