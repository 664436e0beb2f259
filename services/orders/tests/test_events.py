import orjson
from redis.asyncio import Redis
from services.orders.tests.factories import Shop, order_of

from shared.events import CloudEvent
from testkit.waiting import eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class TestOutbox:
    async def test_each_change_of_state_is_an_event_with_the_order(self, shop: Shop) -> None:
        sku, customer = await shop.product(price=250), shop.caller()
        order = await customer.placed((sku, 2))
        for move in ("pack", "ship"):
            await shop.warehouse.move(order["id"], move)
        rows = await shop.events_of(order["id"])
        assert [row["type"] for row in rows] == [
            "hopline.order.placed.v1",
            "hopline.order.packed.v1",
            "hopline.order.shipped.v1",
        ]
        assert {row["source"] for row in rows} == {"/hopline/orders"}
        assert orjson.loads(rows[0]["data"]) == {
            "order_id": order["id"],
            "user_id": str(customer.id),
            "status": "placed",
            "items": [{"sku": sku, "name": sku, "quantity": 2, "unit_price_cents": 250}],
            "total_cents": 500,
            "currency": "EUR",
            "created_at": order["created_at"],
        }
        assert orjson.loads(rows[2]["data"])["status"] == "shipped"

    async def test_carries_the_trace_and_the_baggage_of_its_request(self, shop: Shop) -> None:
        sku = await shop.product()
        headers = {
            "Idempotency-Key": "k",
            "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01",
            "tracestate": "vendor=1",
            "baggage": "hopline.synthetic=true",
        }
        placed = await shop.caller().send_order(order_of((sku, 1)), headers=headers)
        [row] = await shop.events_of(placed.json()["id"])
        assert row["traceparent"].split("-")[1] == TRACE_ID
        assert (row["tracestate"], row["baggage"]) == ("vendor=1", "hopline.synthetic=true")

    async def test_refused_order_tells_nobody(self, shop: Shop) -> None:
        sku = await shop.product(stock=0)
        await shop.caller().place((sku, 1))
        assert await shop.database.fetchval("SELECT count(*) FROM outbox") == 0


class TestStream:
    async def test_events_arrive_in_order(self, shop: Shop, redis_url: str) -> None:
        sku, customer = await shop.product(), shop.caller()
        order = await customer.placed((sku, 1))
        await customer.cancel(order["id"])
        async with Redis.from_url(redis_url) as redis:
            entries = await eventually(lambda: _entries(redis, at_least=2))
        assert [event.type for event in entries] == ["hopline.order.placed.v1", "hopline.order.cancelled.v1"]
        assert {event.subject for event in entries} == {order["id"]}


async def _entries(redis: Redis, *, at_least: int) -> list[CloudEvent]:
    entries = await redis.xrange("events:orders")
    return [CloudEvent.decode(entry[b"event"]) for _, entry in entries] if len(entries) >= at_least else []
