"""Fixtures. Each test has a cluster with its own stores."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.factories import Cluster, Instance, open_cluster

from testkit.databases import MigratedDatabase
from testkit.tokens import TokenIssuer


@pytest.fixture
async def database(migrated_database: MigratedDatabase) -> str:
    return await migrated_database("notifications")


@pytest.fixture
async def cluster(database: str, redis_url: str, token_issuer: TokenIssuer) -> AsyncIterator[Cluster]:
    async with open_cluster(database_url=database, redis_url=redis_url, issuer=token_issuer) as cluster:
        yield cluster


@pytest.fixture
async def instance(cluster: Cluster) -> Instance:
    return await cluster.start_instance()


@pytest.fixture
def user() -> UUID:
    return uuid4()
