import asyncio
from typing import Any

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
            "stock": [{"sku": sku, "available": 98, "version": 1}],
        }
        assert orjson.loads(rows[2]["data"])["status"] == "shipped"

    async def test_carries_the_stock_level_when_another_number_is_available(self, shop: Shop) -> None:
        mug, lamp, customer = await shop.product(stock=5), await shop.product(stock=9), shop.caller()
        kept, cancelled = await customer.placed((mug, 2)), await customer.placed((lamp, 1), (mug, 3))
        await customer.cancel(cancelled["id"])
        for move in ("pack", "ship"):
            await shop.warehouse.move(kept["id"], move)
        assert await _stock_of(shop, kept["id"]) == [{mug: (3, 1)}, None, None]
        assert await _stock_of(shop, cancelled["id"]) == [{lamp: (8, 1), mug: (0, 2)}, {lamp: (9, 2), mug: (3, 3)}]
        assert await shop.available(mug) == 3

    async def test_newest_stock_level_is_the_true_one_after_orders_at_once(self, shop: Shop) -> None:
        sku, customer = await shop.product(stock=50), shop.caller()
        orders = await asyncio.gather(*(customer.placed((sku, 2)) for _ in range(6)))
        await asyncio.gather(*(customer.cancel(order["id"]) for order in orders[:3]))
        levels = [level for order in orders for stock in await _stock_of(shop, order["id"]) for level in [stock[sku]]]
        newest, version = max(levels, key=lambda level: level[1])
        assert newest == await shop.available(sku) == 44
        assert sorted(version for _, version in levels) == list(range(1, version + 1))

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


async def _stock_of(shop: Shop, order_id: str) -> list[Any]:
    """Return what each event of an order says of the stock: (available, version) by sku, None if it says nothing."""
    events = [orjson.loads(row["data"]) for row in await shop.events_of(order_id)]
    return [
        {level["sku"]: (level["available"], level["version"]) for level in event["stock"]} if "stock" in event else None
        for event in events
    ]


async def _entries(redis: Redis, *, at_least: int) -> list[CloudEvent]:
    entries = await redis.xrange("events:orders")
    return [CloudEvent.decode(entry[b"event"]) for _, entry in entries] if len(entries) >= at_least else []
