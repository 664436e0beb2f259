"""Orders: placing them once per idempotency key, reading them, and their transitions."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import structlog
from opentelemetry import trace

from orders import models
from orders.errors import IdempotencyKeyReusedError, InvalidTransitionError, OrderNotFoundError
from orders.events import OrderEvents
from orders.repository.orders import OrderRepository
from orders.schemas import Order, OrderCreate, OrderItem, StockLevel
from orders.service.catalog import CatalogService
from orders.service.cursors import decode_order_cursor
from orders.states import OrderStatus, Transition
from shared.web.pagination import Page, build_page

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlacementResult:
    """The response to placing an order. `response` is the JSON that every request with the same key gets."""

    order_id: UUID
    response: bytes
    replayed: bool


class OrderService:
    """Places, reads and changes orders in a transaction that the caller commits."""

    def __init__(self, *, orders: OrderRepository, catalog: CatalogService, events: OrderEvents) -> None:
        self._orders = orders
        self._catalog = catalog
        self._events = events

    async def place_order(self, body: OrderCreate, *, user_id: UUID, key: str) -> PlacementResult:
        """Place one order per user and key, in four statements. A replay takes one.

        Errors are not stored. The IETF draft (draft-ietf-httpapi-idempotency-key-header-07, §2.6) would repeat them.
        But a rejected order has changed nothing, and its retry should succeed when the product is in stock again.

        Raises:
            IdempotencyKeyInFlightError: A request with the same key is being processed.
            IdempotencyKeyReusedError: The key belongs to an order with other items.
            UnknownProductError: An item is not in the catalog.
            OutOfStockError: An item has too few available units.
        """
        stored = await self._orders.claim_key(user_id=user_id, key=key)
        if stored is not None:
            if stored.fingerprint != body.fingerprint():
                raise IdempotencyKeyReusedError
            trace.get_current_span().set_attribute("hopline.order.replayed", True)
            log.info("order_replayed", order_id=stored.order_id)
            return PlacementResult(order_id=stored.order_id, response=stored.response, replayed=True)
        order, stock = await self._reserve_order(body, user_id=user_id)
        response = order.model_dump_json().encode()
        await self._orders.add_order(order, key=key, fingerprint=body.fingerprint(), response=response)
        await self._events.publish_order(order, stock=stock)
        trace.get_current_span().set_attribute("hopline.order.id", str(order.id))
        log.info("order_placed", order_id=order.id, total_cents=order.total_cents, lines=len(order.items))
        return PlacementResult(order_id=order.id, response=response, replayed=False)

    async def _reserve_order(self, body: OrderCreate, *, user_id: UUID) -> tuple[Order, list[StockLevel]]:
        """Reserve the stock. Return the order with the present prices, and the new stock levels."""
        products = await self._catalog.reserve_stock(body)
        items = [
            OrderItem(
                sku=sku, name=products[sku].name, quantity=quantity, unit_price_cents=products[sku].unit_price_cents
            )
            for sku, quantity in body.quantities().items()
        ]
        order = Order(
            id=uuid4(),
            user_id=user_id,
            status=OrderStatus.PLACED,
            items=items,
            total_cents=sum(item.quantity * item.unit_price_cents for item in items),
            currency=models.CURRENCY,
            created_at=datetime.now(UTC),
        )
        return order, [products[item.sku].stock_level_after(item.quantity) for item in items]

    async def list_orders(
        self, *, user_id: UUID, status: OrderStatus | None, limit: int, cursor: str | None
    ) -> Page[Order]:
        """Return one page of the user's orders, newest first. Raises BadRequestError for an invalid cursor."""
        before = decode_order_cursor(cursor) if cursor else None
        rows = await self._orders.list_orders(user_id=user_id, status=status, limit=limit + 1, before=before)
        return build_page(rows, limit=limit, item=Order.model_validate, key=lambda order: (order.created_at, order.id))

    async def list_recent_orders(self, *, user_id: UUID, limit: int, offset: int) -> list[Order]:
        """Return at most `limit` of the user's orders, newest first, without the first `offset`.

        The database reads the skipped orders as well.
        """
        rows = await self._orders.list_orders(user_id=user_id, status=None, limit=limit, before=None, offset=offset)
        return [Order.model_validate(row) for row in rows]

    async def get_order(self, order_id: UUID, *, owner: UUID | None) -> Order:
        """Return an order of `owner`, or with None an order of any user. Raises OrderNotFoundError."""
        return Order.model_validate(await self._get_row(order_id, owner=owner))

    async def apply_transition(self, transition: Transition, order_id: UUID, *, owner: UUID | None = None) -> Order:
        """Apply a transition to an order of `owner`, or with None of any user, and return the order.

        A transition that was applied before changes nothing and publishes nothing, so that a caller can retry. The
        order's row lock serializes concurrent transitions.

        Raises:
            OrderNotFoundError: The owner has no such order.
            InvalidTransitionError: The order's status does not allow the transition.
        """
        row = await self._get_row(order_id, owner=owner, lock=True)
        if row.status in transition.applied_in:
            return Order.model_validate(row)
        if row.status is not transition.source:
            raise InvalidTransitionError(
                f"The order is {row.status}: only a {transition.source} order can become {transition.target}"
            )
        await self._orders.update_status(row, transition.target)
        stock = await self._catalog.end_reservation(order_id, transition.stock)
        order = Order.model_validate(row)
        await self._events.publish_order(order, stock=stock)
        log.info("order_status_changed", order_id=order_id, status=transition.target)
        return order

    async def _get_row(self, order_id: UUID, *, owner: UUID | None, lock: bool = False) -> models.Order:
        row = await self._orders.find_order(order_id, owner=owner, lock=lock)
        if row is None:
            raise OrderNotFoundError(order_id)
        return row
