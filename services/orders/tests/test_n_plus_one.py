"""Lists execute the same number of statements for any number of rows."""

from datetime import datetime, timedelta
from functools import partial

from services.orders.tests.factories import Shop

from orders.main import create_app
from orders.settings import Settings
from testkit.queries import Queries, list_paths

COVERED_LISTS = {
    "/products",
    "/orders",
    "/orders/recent",
    "/orders/{order_id}",
    "/internal/sales",
    "/internal/reports/{report_id}/orders",
}
"""Includes a single order, because it has a list of items."""


async def test_products_execute_no_more_statements_when_there_are_more_rows(shop: Shop, queries: Queries) -> None:
    await queries.assert_constant(
        few=lambda: shop.http.get("/products", params={"limit": 1}),
        many=lambda: shop.http.get("/products", params={"limit": 50}),
    )


async def test_orders_execute_no_more_statements_when_there_are_more_rows(shop: Shop, queries: Queries) -> None:
    skus = [await shop.create_product() for _ in range(20)]
    one_order, six_orders = shop.client(), shop.client()
    small_order = await one_order.create_order((skus[0], 1))
    large_order = await six_orders.create_order(*((sku, 1) for sku in skus))
    for _ in range(5):
        await six_orders.create_order(*((sku, 1) for sku in skus))
    for path in ("/orders", "/orders/recent"):
        await queries.assert_constant(few=partial(one_order.get, path), many=partial(six_orders.get, path))
    await queries.assert_constant(
        few=partial(one_order.get, f"/orders/{small_order['id']}"),
        many=partial(six_orders.get, f"/orders/{large_order['id']}"),
    )
    today = datetime.fromisoformat(large_order["created_at"]).date()
    day_without_orders = today - timedelta(days=400)
    await queries.assert_constant(
        few=partial(shop.worker.get, "/internal/sales", day=day_without_orders),
        many=partial(shop.worker.get, "/internal/sales", day=today),
    )


async def test_report_orders_execute_no_more_statements_when_there_are_more_rows(shop: Shop, queries: Queries) -> None:
    skus = [await shop.create_product() for _ in range(5)]
    customer = shop.client()
    for _ in range(6):
        await customer.create_order(*((sku, 1) for sku in skus))
    report = (await customer.request_report()).json()["id"]
    path = f"/internal/reports/{report}/orders"
    await queries.assert_constant(
        few=partial(shop.worker.get, path, limit=1), many=partial(shop.worker.get, path, limit=6)
    )


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
