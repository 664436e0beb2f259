"""The sales of a day, for the daily summary."""

from services.orders.tests.factories import Shop


class TestSales:
    async def test_sales_exclude_cancelled_orders_and_other_days(self, shop: Shop) -> None:
        cup, pot, customer = await shop.create_product(price=1000), await shop.create_product(price=5000), shop.client()
        await customer.create_order((cup, 3), (pot, 1))
        await customer.create_order((cup, 1))
        await customer.cancel((await customer.create_order((pot, 9)))["id"])
        day_before, day_after = await customer.create_order((pot, 1)), await customer.create_order((pot, 1))
        await shop.database.execute("UPDATE customer_order SET created_at = '2026-11-24T12:00:00Z'")
        for order, created_at in ((day_before, "2026-11-23T23:59:59.9Z"), (day_after, "2026-11-25T00:00:00Z")):
            await shop.database.execute(
                "UPDATE customer_order SET created_at = $1::text::timestamptz WHERE id = $2", created_at, order["id"]
            )
        sales = (await shop.worker.get("/internal/sales", day="2026-11-24")).json()
        best = sales.pop("best")
        assert sales == {"day": "2026-11-24", "orders": 2, "cancelled": 1, "total_cents": 9000, "currency": "EUR"}
        assert [(product["sku"], product["quantity"], product["total_cents"]) for product in best] == [
            (pot, 1, 5000),
            (cup, 4, 4000),
        ]

    async def test_sales_have_the_five_products_with_the_largest_totals(self, shop: Shop) -> None:
        skus = [await shop.create_product(price=price) for price in (400, 600, 100, 300, 500, 200)]
        order = await shop.client().create_order(*((sku, 1) for sku in skus))
        sales = (await shop.worker.get("/internal/sales", day=order["created_at"][:10])).json()
        assert [product["total_cents"] for product in sales["best"]] == [600, 500, 400, 300, 200]

    async def test_sales_are_zero_when_the_day_has_no_orders(self, shop: Shop) -> None:
        sales = (await shop.worker.get("/internal/sales", day="2020-01-01")).json()
        assert (sales["orders"], sales["total_cents"], sales["best"]) == (0, 0, [])

    async def test_sales_are_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        assert (await shop.client(role="admin").get("/internal/sales", day="2026-11-24")).status_code == 403

    async def test_sales_are_rejected_when_the_day_is_out_of_range(self, shop: Shop) -> None:
        for day in ("0001-01-01", "1999-12-31", "2100-01-01", "9999-12-31"):
            assert (await shop.worker.get("/internal/sales", day=day)).status_code == 422
