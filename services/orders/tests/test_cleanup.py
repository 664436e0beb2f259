"""The cleanup of idempotency keys and events. `test_report_work` tests the cleanup of reports."""

from typing import Any

from services.orders.tests.factories import Shop

from testkit.waiting import eventually


class TestCleanup:
    async def test_cleanup_deletes_old_keys_and_keeps_orders(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        older_order = (await customer.place_order((sku, 1), key="old")).json()
        await shop.database.execute("UPDATE idempotency_key SET created_at = now() - interval '31 days'")
        newer_order = (await customer.place_order((sku, 1), key="new")).json()
        assert (await run_cleanup(shop))["removed"]["idempotency_keys"] == 1
        assert (await customer.get(f"/orders/{older_order['id']}")).status_code == 200
        assert (await customer.place_order((sku, 1), key="new")).json() == newer_order
        assert (await customer.place_order((sku, 1), key="old")).json() != older_order

    async def test_cleanup_keeps_events_that_are_not_acknowledged(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        await customer.create_order((sku, 1))
        await eventually(lambda: shop.database.fetchval("SELECT count(*) FROM outbox WHERE pub_seq IS NOT NULL"))
        # as if all groups had acknowledged the event 31 days ago, and Redis had lost their positions
        await shop.database.execute("INSERT INTO outbox_mark (seq, noted_at) VALUES (1, now() - interval '31 days')")
        assert (await run_cleanup(shop))["removed"]["outbox"] == 0

    async def test_cleanup_deletes_nothing_when_nothing_has_expired(self, shop: Shop) -> None:
        nothing = {"idempotency_keys": 0, "lost_reports": 0, "outbox": 0, "reports": 0}
        assert await run_cleanup(shop) == {"removed": nothing, "more": False}

    async def test_cleanup_returns_the_time_of_the_oldest_event_that_can_be_published_again(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(), shop.client()
        await customer.create_order((sku, 1))
        await shop.database.execute("UPDATE outbox SET created_at = '2026-11-01T00:00:00Z'")
        response = await shop.worker.get("/internal/housekeeping")
        assert response.json() == {"events_since": "2026-11-01T00:00:00Z"}

    async def test_cleanup_is_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        for caller in (shop.client(), shop.client(role="admin")):
            assert (await caller.post("/internal/housekeeping")).status_code == 403
            assert (await caller.get("/internal/housekeeping")).status_code == 403


async def run_cleanup(shop: Shop) -> dict[str, Any]:
    response = await shop.worker.post("/internal/housekeeping", {})
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result
