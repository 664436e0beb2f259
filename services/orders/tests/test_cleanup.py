from services.orders.tests.factories import Shop

from testkit.waiting import eventually

EMPTY_BODY: dict[str, str] = {}


class TestCleanup:
    async def test_cleanup_deletes_old_keys_and_keeps_orders(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.client()
        order = (await customer.place_order((sku, 1), key="old")).json()
        await shop.database.execute("UPDATE idempotency_key SET created_at = now() - interval '31 days'")
        again = (await customer.place_order((sku, 1), key="new")).json()
        assert (await self._run_cleanup(shop))["removed"]["idempotency_keys"] == 1
        assert (await customer.get(f"/orders/{order['id']}")).status_code == 200
        assert (await customer.place_order((sku, 1), key="new")).json() == again
        assert (await customer.place_order((sku, 1), key="old")).json() != order

    async def test_cleanup_keeps_events_that_are_not_acknowledged(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.client()
        await customer.create_order((sku, 1))
        await eventually(lambda: shop.database.fetchval("SELECT count(*) FROM outbox WHERE pub_seq IS NOT NULL"))
        assert (await self._run_cleanup(shop))["removed"]["outbox"] == 0

    async def test_cleanup_removes_nothing_when_nothing_has_expired(self, shop: Shop) -> None:
        nothing = {"idempotency_keys": 0, "lost_reports": 0, "outbox": 0, "reports": 0}
        assert await self._run_cleanup(shop) == {"removed": nothing, "more": False}

    async def test_cleanup_reports_the_oldest_event_that_can_be_published_again(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.client()
        await customer.create_order((sku, 1))
        await shop.database.execute("UPDATE outbox SET created_at = '2026-11-01T00:00:00Z'")
        response = await shop.worker.get("/internal/housekeeping")
        assert response.json() == {"events_since": "2026-11-01T00:00:00Z"}

    async def test_cleanup_is_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        for caller in (shop.client(), shop.client(role="admin")):
            assert (await caller.post("/internal/housekeeping")).status_code == 403
            assert (await caller.get("/internal/housekeeping")).status_code == 403

    async def _run_cleanup(self, shop: Shop) -> dict[str, dict[str, int]]:
        headers = shop.worker.headers
        response = await shop.http.post("/internal/housekeeping", json=EMPTY_BODY, headers=headers)
        assert response.status_code == 200, response.text
        result: dict[str, dict[str, int]] = response.json()
        return result


class TestSales:
    async def test_sales_exclude_cancelled_orders(self, shop: Shop) -> None:
        cup, pot, customer = await shop.product(price=1000), await shop.product(price=5000), shop.client()
        await customer.create_order((cup, 3), (pot, 1))
        await customer.create_order((cup, 1))
        await customer.cancel((await customer.create_order((pot, 9)))["id"])
        before = await customer.create_order((pot, 1))
        await shop.database.execute("UPDATE customer_order SET created_at = '2026-11-24T12:00:00Z'")
        await shop.database.execute(
            "UPDATE customer_order SET created_at = '2026-11-23T23:59:59.9Z' WHERE id = $1", before["id"]
        )
        day = (await shop.worker.get("/internal/sales", day="2026-11-24")).json()
        best = day.pop("best")
        assert day == {"day": "2026-11-24", "orders": 2, "cancelled": 1, "total_cents": 9000, "currency": "EUR"}
        assert [(product["sku"], product["quantity"], product["total_cents"]) for product in best] == [
            (pot, 1, 5000),
            (cup, 4, 4000),
        ]

    async def test_sales_are_zero_when_the_day_has_no_orders(self, shop: Shop) -> None:
        day = (await shop.worker.get("/internal/sales", day="2020-01-01")).json()
        assert (day["orders"], day["total_cents"], day["best"]) == (0, 0, [])

    async def test_sales_are_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        assert (await shop.client(role="admin").get("/internal/sales", day="2026-11-24")).status_code == 403

    async def test_sales_are_rejected_when_the_day_is_out_of_range(self, shop: Shop) -> None:
        for day in ("0001-01-01", "1999-12-31", "2100-01-01", "9999-12-31"):
            assert (await shop.worker.get("/internal/sales", day=day)).status_code == 422
