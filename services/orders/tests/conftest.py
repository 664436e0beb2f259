"""Fixtures. Each test has a running service with its own database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from services.orders.tests.factories import Shop, open_shop

from testkit.databases import MigratedDatabase
from testkit.tokens import TokenIssuer


@pytest.fixture
async def database(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("orders")


@pytest.fixture
async def shop(database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(
        database=database, redis_url=redis_url, issuer=token_issuer, objects=tmp_path / "objects"
    ) as shop:
        yield shop
