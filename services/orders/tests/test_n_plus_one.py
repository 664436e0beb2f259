"""No list costs more statements for more rows."""

from datetime import datetime, timedelta
from functools import partial

from services.orders.tests.factories import Shop

from orders.main import create_app
from orders.settings import Settings
from testkit.queries import Queries, lists_of

GUARDED = {
    "/products",
    "/orders",
    "/orders/recent",
    "/orders/{order_id}",
    "/internal/sales",
    "/internal/reports/{report_id}/orders",
}
"""One order is among them for its items."""


async def test_the_catalog(shop: Shop, queries: Queries) -> None:
    await queries.stay_flat(
        few=lambda: shop.http.get("/products", params={"limit": 1}),
        many=lambda: shop.http.get("/products", params={"limit": 50}),
    )


async def test_orders(shop: Shop, queries: Queries) -> None:
    skus = [await shop.product() for _ in range(20)]
    few, many = shop.caller(), shop.caller()
    small = await few.placed((skus[0], 1))
    orders = [await many.placed(*((sku, 1) for sku in skus)) for _ in range(6)]
    for path in ("/orders", "/orders/recent"):
        await queries.stay_flat(few=partial(few.get, path), many=partial(many.get, path))
    await queries.stay_flat(
        few=lambda: few.get(f"/orders/{small['id']}"), many=lambda: many.get(f"/orders/{orders[0]['id']}")
    )
    today = datetime.fromisoformat(orders[0]["created_at"]).date()
    await queries.stay_flat(
        few=partial(shop.warehouse.get, "/internal/sales", day=today - timedelta(days=400)),
        many=partial(shop.warehouse.get, "/internal/sales", day=today),
    )


async def test_orders_of_a_report(shop: Shop, queries: Queries) -> None:
    skus = [await shop.product() for _ in range(5)]
    customer = shop.caller()
    for _ in range(6):
        await customer.placed(*((sku, 1) for sku in skus))
    report = (await customer.request_report()).json()["id"]
    path = f"/internal/reports/{report}/orders"
    await queries.stay_flat(
        few=partial(shop.warehouse.get, path, limit=1), many=partial(shop.warehouse.get, path, limit=6)
    )


def test_no_list_is_forgotten() -> None:
    settings = Settings.model_validate(
        {
            "environment": "test",
            "database_url": "postgresql://nobody@localhost/none",
            "redis_url": "redis://localhost",
            "jwks_url": "http://localhost",
        }
    )
    assert lists_of(create_app(settings).openapi()) == GUARDED
