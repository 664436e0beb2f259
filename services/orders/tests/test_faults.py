"""Failures of PostgreSQL and Redis, and orders that wait for a locked product."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from services.orders.tests.factories import Shop, open_shop

from shared.db.database import count_reserved
from testkit.databases import create_database, migrate
from testkit.servers import PostgresServer, StartPostgres
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

INI = Path(__file__).parents[1] / "alembic.ini"
POOL_SIZE = 10
"""Connections of the service's pool (`DATABASE_POOL_SIZE`)."""

MIN_RESPONSES = 100
"""Number of responses after which all clients have sent several requests."""


class TestPostgresUnavailable:
    async def test_requests_return_503_until_postgres_is_back(
        self, start_postgres: StartPostgres, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> None:
        server = start_postgres()
        url = await create_database(server.url)
        migrate(INI, url)
        async with open_shop(database=url, redis_url=redis_url, issuer=token_issuer, objects=tmp_path) as shop:
            customer = shop.client()
            order = await customer.create_order(("BAG-CANVAS", 1))
            server.immediate_stop()
            for _ in range(3):
                assert await self._send_requests(shop) == {503}
            assert (await shop.http.get("/health/live")).status_code == 200
            server.start()
            await eventually(lambda: self._is_ready(shop))
            assert await self._send_requests(shop) == {200, 201}
            assert (await customer.get(f"/orders/{order['id']}")).json() == order
            assert await shop.stock_violations() == []

    async def _send_requests(self, shop: Shop) -> set[int]:
        """Place an order, list the orders and the products, and return the statuses."""
        customer = shop.client()
        responses = [
            await customer.place_order(("BAG-CANVAS", 1)),
            await customer.get("/orders"),
            await customer.get("/products"),
        ]
        return {response.status_code for response in responses}

    async def _is_ready(self, shop: Shop) -> bool:
        return (await shop.http.get("/health/ready")).status_code == 200


class TestLockedProduct:
    async def test_other_products_are_served_when_one_product_is_locked(
        self, database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> None:
        async with open_shop(
            database=database, redis_url=redis_url, issuer=token_issuer, objects=tmp_path, database_lock_timeout_ms=200
        ) as shop:
            locked, other = await shop.create_product(), await shop.create_product()
            customer = shop.client()
            async with shop.database.acquire() as connection, connection.transaction():
                await connection.execute("SELECT FROM product WHERE sku = $1 FOR UPDATE", locked)
                # The second half waits for connections of the first half, for less time than the pool's timeout.
                waiting = [
                    asyncio.create_task(customer.place_order((locked, 1), key=f"key-{n}")) for n in range(2 * POOL_SIZE)
                ]
                await eventually(shop.has_lock_waiter)
                assert (await customer.get("/products")).status_code == 200
                assert (await customer.get(f"/products/{locked}")).status_code == 200
                assert (await customer.place_order((other, 1))).status_code == 201
                for response in await asyncio.gather(*waiting):
                    assert response.status_code == 503
                    assert response.json()["type"].endswith("/contention")
                    assert response.headers["Retry-After"] == "1"
            assert (await customer.place_order((locked, 1), key="key-0")).status_code == 201
            assert await shop.stock_violations() == []


class TestPostgresRestart:
    @pytest.fixture
    async def postgres(self, start_postgres: StartPostgres) -> PostgresServer:
        return start_postgres()

    @pytest.fixture
    async def shop(
        self, postgres: PostgresServer, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> AsyncIterator[Shop]:
        url = await create_database(postgres.url)
        migrate(INI, url)
        async with open_shop(
            database=url,
            redis_url=redis_url,
            issuer=token_issuer,
            objects=tmp_path,
            database_lock_timeout_ms=10_000,  # the first commits of a restarted server are slow
        ) as shop:
            yield shop

    @pytest.mark.parametrize("stop", [PostgresServer.stop, PostgresServer.immediate_stop])
    async def test_requests_under_load_return_503_with_retry_after_until_postgres_is_back(
        self, shop: Shop, postgres: PostgresServer, stop: Callable[[PostgresServer], None]
    ) -> None:
        sku = await shop.create_product(stock=1_000_000)
        before: list[httpx.Response] = []
        after: list[httpx.Response] = []
        restarted, done = asyncio.Event(), asyncio.Event()

        async def keep_placing() -> None:
            customer = shop.client()
            while not done.is_set():
                responses = after if restarted.is_set() else before
                responses.append(await customer.place_order((sku, 1)))

        async with asyncio.TaskGroup() as load:
            for _ in range(POOL_SIZE):
                load.create_task(keep_placing())
            await eventually(lambda: len(before) > MIN_RESPONSES)
            await asyncio.to_thread(stop, postgres)
            await eventually(lambda: before[-1].status_code == 503)
            await asyncio.to_thread(postgres.start)
            restarted.set()
            await eventually(lambda: len(after) > MIN_RESPONSES)
            done.set()
        assert {response.status_code for response in before} == {201, 503}
        assert all("Retry-After" in response.headers for response in before if response.status_code == 503)
        assert {response.status_code for response in after} == {201}
        assert await shop.stock_violations() == []

    async def test_requests_succeed_when_idle_connections_were_closed_by_a_restart(
        self, shop: Shop, postgres: PostgresServer
    ) -> None:
        sku = await shop.create_product(stock=1_000_000)
        assert await self._place_concurrently(shop, sku) == {201}
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        assert await self._place_concurrently(shop, sku) == {201}

    async def _place_concurrently(self, shop: Shop, sku: str) -> set[int]:
        """Place orders on all connections that orders may use, and return the statuses.

        Further orders would wait for a connection, and time out if the first commits after a restart are slow.
        """
        count = POOL_SIZE - count_reserved(POOL_SIZE)
        responses = await asyncio.gather(*(shop.client().place_order((sku, 1)) for _ in range(count)))
        return {response.status_code for response in responses}


class TestRedisUnavailable:
    async def test_orders_are_placed_and_events_wait_when_redis_is_unavailable(
        self, database: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> None:
        async with open_shop(
            database=database, redis_url="redis://127.0.0.1:1/0", issuer=token_issuer, objects=tmp_path
        ) as shop:
            order = await shop.client().create_order(("BAG-CANVAS", 1))
            assert await shop.event_names(order["id"]) == ["placed"]
            ready = await shop.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
