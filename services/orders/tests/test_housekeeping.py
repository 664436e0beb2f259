from services.orders.tests.factories import Shop

from testkit.waiting import eventually

NOTHING_KNOWN: dict[str, str] = {}


class TestHousekeeping:
    async def test_forgets_old_keys_and_no_orders(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        order = (await customer.place((sku, 1), key="old")).json()
        await shop.database.execute("UPDATE idempotency_key SET created_at = now() - interval '31 days'")
        again = (await customer.place((sku, 1), key="new")).json()
        assert (await self._tidy(shop))["removed"]["idempotency_keys"] == 1
        assert (await customer.get(f"/orders/{order['id']}")).status_code == 200
        assert (await customer.place((sku, 1), key="new")).json() == again
        assert (await customer.place((sku, 1), key="old")).json() != order

    async def test_keeps_events_that_nobody_has_read(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        await customer.placed((sku, 1))
        await eventually(lambda: shop.database.fetchval("SELECT count(*) FROM outbox WHERE pub_seq IS NOT NULL"))
        assert (await self._tidy(shop))["removed"]["outbox"] == 0

    async def test_repeated_there_is_nothing_left(self, shop: Shop) -> None:
        nothing = {"idempotency_keys": 0, "lost_reports": 0, "outbox": 0, "reports": 0}
        assert await self._tidy(shop) == {"removed": nothing, "more": False}

    async def test_says_since_when_events_can_come_again(self, shop: Shop) -> None:
        sku, customer = await shop.product(), shop.caller()
        await customer.placed((sku, 1))
        await shop.database.execute("UPDATE outbox SET created_at = '2026-11-01T00:00:00Z'")
        answer = await shop.warehouse.get("/internal/housekeeping")
        assert answer.json() == {"events_since": "2026-11-01T00:00:00Z"}

    async def test_is_for_services_only(self, shop: Shop) -> None:
        for caller in (shop.caller(), shop.caller(role="admin")):
            assert (await caller.post("/internal/housekeeping")).status_code == 403
            assert (await caller.get("/internal/housekeeping")).status_code == 403

    async def _tidy(self, shop: Shop) -> dict[str, dict[str, int]]:
        headers = shop.warehouse.headers
        answer = await shop.http.post("/internal/housekeeping", json=NOTHING_KNOWN, headers=headers)
        assert answer.status_code == 200, answer.text
        tidied: dict[str, dict[str, int]] = answer.json()
        return tidied


class TestSales:
    async def test_adds_up_the_day_without_what_was_cancelled(self, shop: Shop) -> None:
        cup, pot, customer = await shop.product(price=1000), await shop.product(price=5000), shop.caller()
        await customer.placed((cup, 3), (pot, 1))
        await customer.placed((cup, 1))
        await customer.cancel((await customer.placed((pot, 9)))["id"])
        before = await customer.placed((pot, 1))
        await shop.database.execute("UPDATE customer_order SET created_at = '2026-11-24T12:00:00Z'")
        await shop.database.execute(
            "UPDATE customer_order SET created_at = '2026-11-23T23:59:59.9Z' WHERE id = $1", before["id"]
        )
        day = (await shop.warehouse.get("/internal/sales", day="2026-11-24")).json()
        best = day.pop("best")
        assert day == {"day": "2026-11-24", "orders": 2, "cancelled": 1, "total_cents": 9000, "currency": "EUR"}
        assert [(one["sku"], one["quantity"], one["total_cents"]) for one in best] == [(pot, 1, 5000), (cup, 4, 4000)]

    async def test_of_a_day_without_orders_are_nothing(self, shop: Shop) -> None:
        day = (await shop.warehouse.get("/internal/sales", day="2020-01-01")).json()
        assert (day["orders"], day["total_cents"], day["best"]) == (0, 0, [])

    async def test_are_for_services_only(self, shop: Shop) -> None:
        assert (await shop.caller(role="admin").get("/internal/sales", day="2026-11-24")).status_code == 403

    async def test_are_not_of_a_day_at_an_end_of_the_calendar(self, shop: Shop) -> None:
        for day in ("0001-01-01", "1999-12-31", "2100-01-01", "9999-12-31"):
            assert (await shop.warehouse.get("/internal/sales", day=day)).status_code == 422
