"""Lists take the same number of statements for any number of rows."""

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from services.orders.tests.factories import Shop, open_shop

from orders.main import create_app
from orders.settings import Settings
from testkit.queries import Queries, list_paths
from testkit.tokens import TokenIssuer

COVERED_LISTS = {
    "/products",
    "/orders",
    "/orders/recent",
    "/orders/{order_id}",
    "/internal/sales",
    "/internal/reports/{report_id}/orders",
}
"""Includes a single order, because it has a list of items."""


async def test_products_cost_the_same_statements_when_there_are_more_rows(shop: Shop, queries: Queries) -> None:
    await queries.assert_constant(
        few=lambda: shop.http.get("/products", params={"limit": 1}),
        many=lambda: shop.http.get("/products", params={"limit": 50}),
    )


async def test_orders_cost_the_same_statements_when_there_are_more_rows(shop: Shop, queries: Queries) -> None:
    skus = [await shop.create_product() for _ in range(20)]
    few, many = shop.client(), shop.client()
    small = await few.create_order((skus[0], 1))
    orders = [await many.create_order(*((sku, 1) for sku in skus)) for _ in range(6)]
    for path in ("/orders", "/orders/recent"):
        await queries.assert_constant(few=partial(few.get, path), many=partial(many.get, path))
    await queries.assert_constant(
        few=lambda: few.get(f"/orders/{small['id']}"), many=lambda: many.get(f"/orders/{orders[0]['id']}")
    )
    today = datetime.fromisoformat(orders[0]["created_at"]).date()
    await queries.assert_constant(
        few=partial(shop.worker.get, "/internal/sales", day=today - timedelta(days=400)),
        many=partial(shop.worker.get, "/internal/sales", day=today),
    )


async def test_report_orders_cost_the_same_statements_when_there_are_more_rows(shop: Shop, queries: Queries) -> None:
    skus = [await shop.create_product() for _ in range(5)]
    customer = shop.client()
    for _ in range(6):
        await customer.create_order(*((sku, 1) for sku in skus))
    report = (await customer.request_report()).json()["id"]
    path = f"/internal/reports/{report}/orders"
    await queries.assert_constant(
        few=partial(shop.worker.get, path, limit=1), many=partial(shop.worker.get, path, limit=6)
    )


async def test_comparison_counts_the_statements_of_each_loading_strategy(
    database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path
) -> None:
    async with open_shop(
        database=database, redis_url=redis_url, issuer=token_issuer, objects=tmp_path, environment="development"
    ) as shop:
        before = await shop.http.get("/products", params={"limit": 50})
        compared = (await shop.http.get("/debug/n-plus-one", params={"rows": 10})).json()
        assert {way: cost["statements"] for way, cost in compared.items()} == {
            "lazyload": 1 + 10,
            "selectinload": 2,
            "joinedload": 1,
        }
        assert {(cost["orders"], cost["items"]) for cost in compared.values()} == {(10, 30)}
        assert await shop.database.fetchval("SELECT count(*) FROM customer_order") == 0
        assert (await shop.http.get("/products", params={"limit": 50})).json() == before.json()


async def test_comparison_is_not_found_when_the_environment_is_not_development(shop: Shop) -> None:
    assert (await shop.http.get("/debug/n-plus-one")).status_code == 404


async def test_response_is_a_profile_when_the_header_requests_one(shop: Shop) -> None:
    profiled = await shop.http.get("/products", headers={"X-Profile": "text"})
    assert profiled.headers["x-profile-status"] == "200"
    assert "list_products" in profiled.text


def test_every_list_is_covered() -> None:
    settings = Settings.model_validate(
        {
            "environment": "test",
            "database_url": "postgresql://nobody@localhost/none",
            "redis_url": "redis://localhost",
            "jwks_url": "http://localhost",
        }
    )
    assert list_paths(create_app(settings).openapi()) == COVERED_LISTS
