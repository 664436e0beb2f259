"""Orders: placing them once, reading them, moving them along."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import structlog
from opentelemetry import trace

from orders.errors import IllegalMove, KeyReused, OrderNotFound
from orders.events import OrderEvents
from orders.models import CURRENCY, Order
from orders.repository.orders import OrderRepository
from orders.schemas import NewOrder, OrderItemOut, OrderOut, StockLevel
from orders.service.catalog import Catalog
from orders.service.positions import position_in
from orders.states import Move, OrderStatus
from shared.pages import Page, page_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The answer to an order: `response` is its JSON, the same bytes every time its key is used again."""

    order_id: UUID
    response: bytes
    replayed: bool


class Orders:
    """The life of orders, inside one transaction that the caller commits."""

    def __init__(self, *, orders: OrderRepository, catalog: Catalog, events: OrderEvents) -> None:
        self._orders = orders
        self._catalog = catalog
        self._events = events

    async def place(self, wanted: NewOrder, *, user_id: UUID, key: str) -> Placed:
        """Place one order per user and `key`; four statements, and one for a replay.

        Raises UnknownProduct, OutOfStock, KeyReused (same key, other items) and KeyInFlight (same key, right now).
        Only placed orders are remembered. The IETF draft (draft-ietf-httpapi-idempotency-key-header-07, §2.6) would
        have errors repeated as well; but a refused order has changed nothing, so that the key protects nothing yet,
        and the retry of an order that was out of stock should succeed once there is stock.
        """
        earlier = await self._orders.claim(user_id=user_id, key=key)
        if earlier is not None:
            if earlier.fingerprint != wanted.fingerprint():
                raise KeyReused
            trace.get_current_span().set_attribute("hopline.order.replayed", True)
            log.info("order_replayed", order_id=earlier.order_id)
            return Placed(order_id=earlier.order_id, response=earlier.response, replayed=True)
        order, stock = await self._reserved(wanted, user_id=user_id)
        response = order.model_dump_json().encode()
        await self._orders.record(order, key=key, fingerprint=wanted.fingerprint(), response=response)
        await self._events.announce(order, stock=stock)
        trace.get_current_span().set_attribute("hopline.order.id", str(order.id))
        log.info("order_placed", order_id=order.id, total_cents=order.total_cents, lines=len(order.items))
        return Placed(order_id=order.id, response=response, replayed=False)

    async def _reserved(self, wanted: NewOrder, *, user_id: UUID) -> tuple[OrderOut, list[StockLevel]]:
        """Return a new order whose stock is reserved, at today's prices, and the stock levels after it."""
        offers = await self._catalog.reserve(wanted)
        items = [
            OrderItemOut(
                sku=sku, name=offers[sku].name, quantity=quantity, unit_price_cents=offers[sku].unit_price_cents
            )
            for sku, quantity in wanted.quantities().items()
        ]
        order = OrderOut(
            id=uuid4(),
            user_id=user_id,
            status=OrderStatus.PLACED,
            items=items,
            total_cents=sum(item.quantity * item.unit_price_cents for item in items),
            currency=CURRENCY,
            created_at=datetime.now(UTC),
        )
        return order, [offers[item.sku].less(item.quantity) for item in items]

    async def page(
        self, *, user_id: UUID, status: OrderStatus | None, limit: int, cursor: str | None
    ) -> Page[OrderOut]:
        """Return one page of the user's orders, newest first; raises BadRequest for a cursor that is none."""
        before = position_in(cursor) if cursor else None
        rows = await self._orders.page(user_id=user_id, status=status, limit=limit + 1, before=before)
        return page_of(rows, limit=limit, item=OrderOut.model_validate, key=lambda order: (order.created_at, order.id))

    async def recent(self, *, user_id: UUID, limit: int, offset: int) -> list[OrderOut]:
        """Return the user's orders, newest first, after the `offset` newest, which cost as much as those returned."""
        rows = await self._orders.page(user_id=user_id, status=None, limit=limit, before=None, offset=offset)
        return [OrderOut.model_validate(row) for row in rows]

    async def get(self, order_id: UUID, *, owner: UUID | None) -> OrderOut:
        """Return an order of `owner` (None: of anybody), or raise OrderNotFound."""
        return OrderOut.model_validate(await self._find(order_id, owner=owner))

    async def make(self, move: Move, order_id: UUID, *, owner: UUID | None = None) -> OrderOut:
        """Make a move of `owner`'s order (None: anybody's) and return the order as it is then.

        A move that was made before is not made again: nothing changes and nothing is published, so that whoever lost
        the answer may ask again. Raises OrderNotFound and IllegalMove. The order's lock decides races.
        """
        row = await self._find(order_id, owner=owner, lock=True)
        if row.status in move.behind:
            return OrderOut.model_validate(row)
        if row.status is not move.source:
            raise IllegalMove(f"The order is {row.status}: only a {move.source} one can become {move.target}")
        await self._orders.set_status(row, move.target)
        stock = await self._catalog.settle(order_id, move.stock)
        order = OrderOut.model_validate(row)
        await self._events.announce(order, stock=stock)
        log.info("order_moved", order_id=order_id, status=move.target)
        return order

    async def _find(self, order_id: UUID, *, owner: UUID | None, lock: bool = False) -> Order:
        order = await self._orders.find(order_id, owner=owner, lock=lock)
        if order is None:
            raise OrderNotFound(order_id)
        return order
