"""The events of orders: in the outbox, and in the stream."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import orjson
from redis.asyncio import Redis
from services.orders.tests.clients import order_body
from services.orders.tests.factories import Shop

from shared.messaging import CloudEvent
from testkit.waiting import eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class TestOutbox:
    async def test_each_transition_writes_an_event_with_the_order(self, shop: Shop) -> None:
        sku, customer = await shop.create_product(price=250), shop.client()
        order = await customer.create_order((sku, 2))
        for transition in ("pack", "ship"):
            await shop.worker.apply_transition(order["id"], transition)
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

    async def test_event_has_the_new_stock_levels_when_the_available_units_change(self, shop: Shop) -> None:
        mug, lamp, customer = await shop.create_product(stock=5), await shop.create_product(stock=9), shop.client()
        shipped, cancelled = await customer.create_order((mug, 2)), await customer.create_order((lamp, 1), (mug, 3))
        await customer.cancel(cancelled["id"])
        for transition in ("pack", "ship"):
            await shop.worker.apply_transition(shipped["id"], transition)
        assert await _list_stock(shop, shipped["id"]) == [{mug: (3, 1)}, None, None]
        assert await _list_stock(shop, cancelled["id"]) == [{lamp: (8, 1), mug: (0, 2)}, {lamp: (9, 2), mug: (3, 3)}]
        assert await shop.available(mug) == 3

    async def test_largest_stock_version_has_the_current_level_when_orders_are_concurrent(self, shop: Shop) -> None:
        stock, quantity, cancelled_orders, kept_orders = 50, 2, 6, 6
        sku, customer = await shop.create_product(stock=stock), shop.client()
        placed = await asyncio.gather(
            *(
                repeat_while_unavailable(partial(customer.place_order, (sku, quantity), key=uuid4().hex))
                for _ in range(cancelled_orders + kept_orders)
            )
        )
        assert {response.status_code for response in placed} == {201}
        order_ids = [response.json()["id"] for response in placed]
        cancelled = await asyncio.gather(
            *(repeat_while_unavailable(partial(customer.cancel, order_id)) for order_id in order_ids[:cancelled_orders])
        )
        assert {response.status_code for response in cancelled} == {200}
        levels: list[tuple[int, int]] = []
        for order_id in order_ids:
            levels += [level_by_sku[sku] for level_by_sku in await _list_stock(shop, order_id)]
        changes = len(placed) + len(cancelled)
        assert sorted(version for _, version in levels) == list(range(1, changes + 1))
        [newest] = [available for available, version in levels if version == changes]
        assert newest == await shop.available(sku) == stock - kept_orders * quantity

    async def test_event_has_the_trace_and_baggage_of_its_request(self, shop: Shop) -> None:
        sku = await shop.create_product()
        headers = {
            "Idempotency-Key": "k",
            "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01",
            "tracestate": "vendor=1",
            "baggage": "hopline.synthetic=true",
        }
        placed = await shop.client().send_order(order_body((sku, 1)), headers=headers)
        [row] = await shop.events_of(placed.json()["id"])
        assert row["traceparent"].split("-")[1] == TRACE_ID
        assert (row["tracestate"], row["baggage"]) == ("vendor=1", "hopline.synthetic=true")

    async def test_event_is_not_written_when_the_order_is_rejected(self, shop: Shop) -> None:
        sku = await shop.create_product(stock=0)
        await shop.client().place_order((sku, 1))
        assert await shop.database.fetchval("SELECT count(*) FROM outbox") == 0


class TestStream:
    async def test_events_arrive_in_the_stream_in_order(self, shop: Shop, redis_url: str) -> None:
        sku, customer = await shop.create_product(), shop.client()
        order = await customer.create_order((sku, 1))
        await customer.cancel(order["id"])
        async with Redis.from_url(redis_url) as redis:
            events = await eventually(lambda: _read_stream(redis, at_least=2))
        assert [event.type for event in events] == ["hopline.order.placed.v1", "hopline.order.cancelled.v1"]
        assert {event.subject for event in events} == {order["id"]}


async def repeat_while_unavailable(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Repeat a request while the response is 503 with Retry-After: writes may use only a part of the connections."""

    async def final_response() -> httpx.Response | None:
        response = await send()
        return None if response.status_code == 503 and "Retry-After" in response.headers else response

    response = await eventually(final_response)
    assert response
    return response


async def _list_stock(shop: Shop, order_id: str) -> list[Any]:
    """Return the stock levels of each event of an order: (available, version) by sku, or None."""
    events = [orjson.loads(row["data"]) for row in await shop.events_of(order_id)]
    return [
        {level["sku"]: (level["available"], level["version"]) for level in event["stock"]} if "stock" in event else None
        for event in events
    ]


async def _read_stream(redis: Redis, *, at_least: int) -> list[CloudEvent]:
    """Return the events of the stream, or nothing if they are fewer than `at_least`."""
    entries = await redis.xrange("events:orders")
    return [CloudEvent.decode(entry[b"event"]) for _, entry in entries] if len(entries) >= at_least else []
