"""The debug route that compares loading strategies, and profiles of requests."""

from pathlib import Path

from services.orders.tests.factories import Shop, open_shop

from orders.routes.debug import ITEMS_PER_ORDER
from testkit.tokens import TokenIssuer


async def test_comparison_counts_the_statements_of_each_loading_strategy(
    database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
) -> None:
    async with open_shop(
        database=database, redis_url=redis_url, issuer=token_issuer, objects=tmp_path, environment="development"
    ) as shop:
        before = await shop.http.get("/products", params={"limit": 50})
        orders = 10
        compared = (await shop.http.get("/debug/n-plus-one", params={"rows": orders})).json()
        assert {strategy: cost["statements"] for strategy, cost in compared.items()} == {
            "lazyload": 1 + orders,
            "selectinload": 2,
            "joinedload": 1,
        }
        assert {(cost["orders"], cost["items"]) for cost in compared.values()} == {(orders, orders * ITEMS_PER_ORDER)}
        assert await shop.database.fetchval("SELECT count(*) FROM customer_order") == 0
        assert (await shop.http.get("/products", params={"limit": 50})).json() == before.json()


async def test_comparison_is_not_found_when_the_environment_is_not_development(shop: Shop) -> None:
    assert (await shop.http.get("/debug/n-plus-one")).status_code == 404


async def test_response_is_a_profile_when_the_header_requests_one(shop: Shop) -> None:
    profiled = await shop.http.get("/products", headers={"X-Profile": "text"})
    assert profiled.headers["x-profile-status"] == "200"
    assert "list_products" in profiled.text
