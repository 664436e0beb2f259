"""What FAULTS asks of this service when a store goes away."""

from pathlib import Path

from services.orders.tests.factories import Shop, open_shop

from testkit.databases import create_database, migrate
from testkit.servers import StartPostgres
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually

INI = Path(__file__).parents[1] / "alembic.ini"


class TestPostgresAway:
    async def test_answers_503_until_it_is_back(
        self, start_postgres: StartPostgres, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> None:
        server = start_postgres()
        url = await create_database(server.url)
        migrate(INI, url)
        async with open_shop(database=url, redis_url=redis_url, issuer=token_issuer, objects=tmp_path) as shop:
            customer = shop.caller()
            kept = await customer.placed(("BAG-CANVAS", 1))
            server.immediate_stop()
            for _ in range(3):
                assert await self._statuses(shop) == {503}
            assert (await shop.http.get("/health/live")).status_code == 200
            server.start()
            await eventually(lambda: self._is_ready(shop))
            assert await self._statuses(shop) == {200, 201}
            assert (await customer.get(f"/orders/{kept['id']}")).json() == kept
            assert await shop.stock_violations() == []

    async def _statuses(self, shop: Shop) -> set[int]:
        customer = shop.caller()
        answers = [
            await customer.place(("BAG-CANVAS", 1)),
            await customer.get("/orders"),
            await customer.get("/products"),
        ]
        return {answer.status_code for answer in answers}

    async def _is_ready(self, shop: Shop) -> bool:
        return (await shop.http.get("/health/ready")).status_code == 200


class TestRedisAway:
    async def test_orders_are_taken_and_events_wait(
        self, database: str, token_issuer: TokenIssuer, tmp_path: Path
    ) -> None:
        async with open_shop(
            database=database, redis_url="redis://127.0.0.1:1/0", issuer=token_issuer, objects=tmp_path
        ) as shop:
            order = await shop.caller().placed(("BAG-CANVAS", 1))
            assert len(await shop.events_of(order["id"])) == 1
            ready = await shop.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
