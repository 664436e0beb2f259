"""The sales of a day, for the daily summary."""

from services.orders.tests.factories import Shop


class TestSales:
    async def test_sales_exclude_cancelled_orders_and_other_days(self, shop: Shop) -> None:
        cup, pot, customer = await shop.create_product(price=1000), await shop.create_product(price=5000), shop.client()
        await customer.create_order((cup, 3), (pot, 1))
        await customer.create_order((cup, 1))
        await customer.cancel((await customer.create_order((pot, 9)))["id"])
        day_before = await customer.create_order((pot, 1))
        await shop.database.execute("UPDATE customer_order SET created_at = '2026-11-24T12:00:00Z'")
        await shop.database.execute(
            "UPDATE customer_order SET created_at = '2026-11-23T23:59:59.9Z' WHERE id = $1", day_before["id"]
        )
        sales = (await shop.worker.get("/internal/sales", day="2026-11-24")).json()
        best = sales.pop("best")
        assert sales == {"day": "2026-11-24", "orders": 2, "cancelled": 1, "total_cents": 9000, "currency": "EUR"}
        assert [(product["sku"], product["quantity"], product["total_cents"]) for product in best] == [
            (pot, 1, 5000),
            (cup, 4, 4000),
        ]

    async def test_sales_are_zero_when_the_day_has_no_orders(self, shop: Shop) -> None:
        sales = (await shop.worker.get("/internal/sales", day="2020-01-01")).json()
        assert (sales["orders"], sales["total_cents"], sales["best"]) == (0, 0, [])

    async def test_sales_are_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        assert (await shop.client(role="admin").get("/internal/sales", day="2026-11-24")).status_code == 403

    async def test_sales_are_rejected_when_the_day_is_out_of_range(self, shop: Shop) -> None:
        for day in ("0001-01-01", "1999-12-31", "2100-01-01", "9999-12-31"):
            assert (await shop.worker.get("/internal/sales", day=day)).status_code == 422
