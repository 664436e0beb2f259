"""Routes of products, orders and sales."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from orders.dependencies import CatalogDep, IdempotencyKey, OrdersDep, SalesDep, VisibleOwner
from orders.schemas import SKU, DaySales, Order, OrderCreate, Product
from orders.states import CANCEL, PACK, SHIP, OrderStatus
from shared.auth import CurrentIdentity, ServiceIdentity
from shared.validation.numbers import DIGITS
from shared.validation.times import BoundedDay
from shared.web.openapi import document_header, document_problem
from shared.web.pagination import Cursor, Limit, Page

products_router = APIRouter(prefix="/products", tags=["products"])
orders_router = APIRouter(prefix="/orders", tags=["orders"])
internal_orders_router = APIRouter(prefix="/internal/orders", tags=["internal"])
internal_sales_router = APIRouter(prefix="/internal/sales", tags=["internal"])

ORDER_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: document_problem("No such order, or not yours")}

Offset = Annotated[
    int, Query(ge=0, le=1000, description="Number of orders to skip. The database reads them nevertheless"), DIGITS
]


@products_router.get("", summary="List the products")
async def list_products(catalog: CatalogDep, limit: Limit = 20, cursor: Cursor = None) -> Page[Product]:
    """List the products by sku. No token is needed."""
    return await catalog.list_products(limit=limit, cursor=cursor)


@products_router.get("/{sku}", summary="Get a product", responses={404: document_problem("No such product")})
async def read_product(sku: Annotated[str, Path(pattern=SKU)], catalog: CatalogDep) -> Product:
    """Return one product."""
    return Product.model_validate(await catalog.get_product(sku))


@orders_router.post(
    "",
    status_code=201,
    response_model=Order,
    summary="Place an order",
    responses={
        201: {
            "headers": {
                "Location": document_header("Path of the order"),
                "Idempotency-Replayed": document_header(
                    "`true` if the key was used before and this is the stored response"
                ),
            }
        },
        400: document_problem("No Idempotency-Key, or malformed JSON"),
        409: document_problem(
            "Not enough in stock, nothing is reserved; or a request with the same key is in progress (`Retry-After`)"
        ),
        422: document_problem("A field is wrong, a product unknown, or the key was used for another order"),
    },
)
async def place_order(body: OrderCreate, key: IdempotencyKey, identity: CurrentIdentity, orders: OrdersDep) -> Response:
    """Place an order. Either all items are reserved, or none and the response is 409 or 422."""
    result = await orders.place_order(body, user_id=identity.user_id, key=key)
    headers = {"Location": f"/orders/{result.order_id}"}  # the gateway adds its version
    if result.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(result.response, status_code=201, headers=headers, media_type="application/json")


@orders_router.get("", summary="List your orders, newest first")
async def list_orders(
    identity: CurrentIdentity,
    orders: OrdersDep,
    status: OrderStatus | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Order]:
    """List the caller's orders, newest first."""
    return await orders.list_orders(user_id=identity.user_id, status=status, limit=limit, cursor=cursor)


@orders_router.get("/recent")
async def list_recent_orders(
    identity: CurrentIdentity, orders: OrdersDep, limit: Limit = 20, offset: Offset = 0
) -> list[Order]:
    """List the caller's newest orders without a page object, for the gateway's dashboard and version 1."""
    return await orders.list_recent_orders(user_id=identity.user_id, limit=limit, offset=offset)


@orders_router.get("/{order_id}", summary="Get one of your orders", responses=ORDER_NOT_FOUND)
async def read_order(order_id: UUID, owner: VisibleOwner, orders: OrdersDep) -> Order:
    """Return an order of the caller. Admins may read all orders."""
    return await orders.get_order(order_id, owner=owner)


@orders_router.post(
    "/{order_id}/cancel",
    summary="Cancel an order that is not packed yet",
    responses={**ORDER_NOT_FOUND, 409: document_problem("Packed already")},
)
async def cancel_order(order_id: UUID, owner: VisibleOwner, orders: OrdersDep) -> Order:
    """Cancel an order that is not packed yet and release its stock. Repeating it changes nothing."""
    return await orders.apply_transition(CANCEL, order_id, owner=owner)


@internal_orders_router.post("/{order_id}/pack")
async def pack_order(order_id: UUID, _identity: ServiceIdentity, orders: OrdersDep) -> Order:
    """Mark an order as packed. Repeating it changes nothing."""
    return await orders.apply_transition(PACK, order_id)


@internal_orders_router.post("/{order_id}/ship")
async def ship_order(order_id: UUID, _identity: ServiceIdentity, orders: OrdersDep) -> Order:
    """Mark a packed order as shipped. Repeating it changes nothing."""
    return await orders.apply_transition(SHIP, order_id)


@internal_sales_router.get("")
async def read_day_sales(day: BoundedDay, _identity: ServiceIdentity, sales: SalesDep) -> DaySales:
    """Return the sales of a day in UTC."""
    return await sales.get_day_sales(day)
