"""A failover of PostgreSQL: all connections lead to the new primary without a restart."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from testkit.databases import execute
from testkit.rejections import read_only
from testkit.route import Route, open_route
from testkit.servers import PostgresServer, StartPostgres
from testkit.waiting import eventually

from .rows_service import CREATE_TABLE, open_rows


class TestFailover:
    """The old primary stays up, read-only, with open connections. New connections lead to the new primary."""

    @pytest.fixture
    async def primaries(self, start_postgres: StartPostgres) -> list[PostgresServer]:
        servers = [start_postgres(), start_postgres()]
        for server in servers:
            await execute(server.url, CREATE_TABLE)
        return servers

    @pytest.fixture
    async def route(self, primaries: list[PostgresServer]) -> AsyncIterator[Route]:
        async with open_route(primaries[0].port) as route:
            yield route

    @pytest.fixture
    async def client(self, primaries: list[PostgresServer], route: Route) -> AsyncIterator[httpx.AsyncClient]:
        url = urlsplit(primaries[0].url)
        routed_url = url._replace(netloc=url.netloc.replace(str(primaries[0].port), str(route.port))).geturl()
        async with open_rows(routed_url) as client:
            await asyncio.gather(*(client.post(f"/rows/{n}") for n in range(1, 10)))  # opens several connections
            yield client

    @pytest.mark.parametrize("path", ["/rows/1", "/rows/1/by-driver"])
    async def test_all_connections_lead_to_the_new_primary_when_a_write_has_failed(
        self, client: httpx.AsyncClient, primaries: list[PostgresServer], route: Route, path: str
    ) -> None:
        old_primary = (await client.get("/server")).json()
        async with read_only(primaries[0].url):
            route.target_port = primaries[1].port

            async def write() -> int:
                response = await client.post(path)
                assert response.status_code in {200, 503}
                return response.status_code

            async def is_rejected() -> bool:
                return await write() == 503

            async def is_accepted() -> bool:
                return await write() == 200

            await eventually(is_rejected)  # sessions of the old primary apply its new setting with a delay
            await eventually(is_accepted)
            responses = await asyncio.gather(*(client.get("/server") for _ in range(20)))
            assert old_primary not in {response.json() for response in responses}

    async def test_reads_lead_to_the_new_primary_when_a_readiness_probe_has_failed(
        self, client: httpx.AsyncClient, primaries: list[PostgresServer], route: Route
    ) -> None:
        old_primary = (await client.get("/server")).json()
        async with read_only(primaries[0].url):
            route.target_port = primaries[1].port

            async def is_ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            async def is_not_ready() -> bool:
                return not await is_ready()

            await eventually(is_not_ready)  # sessions of the old primary apply its new setting with a delay
            await eventually(is_ready)
            responses = await asyncio.gather(*(client.get("/server") for _ in range(20)))
            assert old_primary not in {response.json() for response in responses}
