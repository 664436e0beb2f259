"""The catalog and orders."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from orders.dependencies import CatalogDep, IdempotencyKey, OrdersDep, SalesDep, VisibleOwner
from orders.schemas import SKU, DaySales, NewOrder, OrderOut, ProductOut
from orders.service import Placed
from orders.states import CANCEL, PACK, SHIP, OrderStatus
from shared.numbers import DIGITS
from shared.openapi import header, problem
from shared.pages import Cursor, Limit, Page
from shared.times import BoundedDay
from shared.tokens import CurrentIdentity, ServiceIdentity

products = APIRouter(prefix="/products", tags=["products"])
orders = APIRouter(prefix="/orders", tags=["orders"])
internal = APIRouter(prefix="/internal/orders", tags=["internal"])
sales = APIRouter(prefix="/internal/sales", tags=["internal"])

NO_ORDER: Final[dict[int | str, dict[str, Any]]] = {404: problem("No such order, or not yours")}

Offset = Annotated[
    int, Query(ge=0, le=1000, description="How many to skip; the database reads them all the same"), DIGITS
]


@products.get("", summary="What is for sale")
async def list_products(catalog: CatalogDep, limit: Limit = 20, cursor: Cursor = None) -> Page[ProductOut]:
    """What is for sale, by sku; no token is needed to look."""
    return await catalog.page(limit=limit, cursor=cursor)


@products.get("/{sku}", summary="One product", responses={404: problem("No such product")})
async def read_product(sku: Annotated[str, Path(pattern=SKU)], catalog: CatalogDep) -> ProductOut:
    """One product."""
    return ProductOut.model_validate(await catalog.get(sku))


@orders.post(
    "",
    status_code=201,
    response_model=OrderOut,
    summary="Place an order",
    responses={
        201: {
            "headers": {
                "Location": header("Path of the order"),
                "Idempotency-Replayed": header("`true` if the key was used before and this is the stored response"),
            }
        },
        400: problem("No Idempotency-Key, or malformed JSON"),
        409: problem(
            "Not enough in stock, and nothing is reserved; or the same key is being served now (`Retry-After`)"
        ),
        422: problem("A field is wrong, a product unknown, or the key was used for another order"),
    },
)
async def place_order(wanted: NewOrder, key: IdempotencyKey, identity: CurrentIdentity, orders: OrdersDep) -> Response:
    """Place an order: 409 and nothing reserved where an item is out of stock, 422 where there is no such product."""
    placed = await orders.place(wanted, user_id=identity.user_id, key=key)
    return _created(placed)


@orders.get("", summary="Your orders, newest first")
async def list_orders(
    identity: CurrentIdentity,
    orders: OrdersDep,
    status: OrderStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[OrderOut]:
    """The caller's orders, newest first."""
    return await orders.page(user_id=identity.user_id, status=status, limit=limit, cursor=cursor)


@orders.get("/recent")
async def list_recent_orders(
    identity: CurrentIdentity, orders: OrdersDep, limit: Limit = 20, offset: Offset = 0
) -> list[OrderOut]:
    """The caller's newest orders as a bare list: for the gateway's dashboard, unparsed, and for its version 1."""
    return await orders.recent(user_id=identity.user_id, limit=limit, offset=offset)


@orders.get("/{order_id}", summary="One of your orders", responses=NO_ORDER)
async def read_order(order_id: UUID, owner: VisibleOwner, orders: OrdersDep) -> OrderOut:
    """One order of the caller's."""
    return await orders.get(order_id, owner=owner)


@orders.post(
    "/{order_id}/cancel",
    summary="Cancel an order that is not packed yet",
    responses={**NO_ORDER, 409: problem("Packed already")},
)
async def cancel_order(order_id: UUID, owner: VisibleOwner, orders: OrdersDep) -> OrderOut:
    """Cancel an order that is not packed yet; its stock is available again. Cancelling again changes nothing."""
    return await orders.make(CANCEL, order_id, owner=owner)


@internal.post("/{order_id}/pack")
async def pack_order(order_id: UUID, _identity: ServiceIdentity, orders: OrdersDep) -> OrderOut:
    """Say that an order is packed; saying it again changes nothing."""
    return await orders.make(PACK, order_id)


@internal.post("/{order_id}/ship")
async def ship_order(order_id: UUID, _identity: ServiceIdentity, orders: OrdersDep) -> OrderOut:
    """Say that a packed order has left the house; saying it again changes nothing."""
    return await orders.make(SHIP, order_id)


@sales.get("")
async def read_day_sales(day: BoundedDay, _identity: ServiceIdentity, sales: SalesDep) -> DaySales:
    """What was sold on a day in UTC."""
    return await sales.of(day)


def _created(placed: Placed) -> Response:
    """The stored bytes: a replay is told apart by its header only. The gateway adds its version to the location."""
    headers = {"Location": f"/orders/{placed.order_id}"} | ({"Idempotency-Replayed": "true"} if placed.replayed else {})
    return Response(placed.response, status_code=201, headers=headers, media_type="application/json")
