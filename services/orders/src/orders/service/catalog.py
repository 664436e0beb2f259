"""Products, and the reservation of their stock."""

import re
from collections.abc import Mapping
from uuid import UUID

from orders import models
from orders.errors import OutOfStockError, ProductNotFoundError, UnknownProductError
from orders.repository.catalog import CatalogRepository, ReservedProduct
from orders.schemas import SKU, OrderCreate, Product, StockLevel
from orders.states import StockEffect
from shared.errors.problems import FieldError
from shared.web.pagination import Page, build_page, decode_cursor, invalid_cursor_error


class CatalogService:
    """Reads products and changes their stock, in a transaction that the caller commits."""

    def __init__(self, *, products: CatalogRepository) -> None:
        self._products = products

    async def list_products(self, *, limit: int, cursor: str | None) -> Page[Product]:
        """Return one page of the products, ordered by sku. Raises BadRequestError for an invalid cursor."""
        after = _decode_sku_cursor(cursor) if cursor else None
        rows = await self._products.list_products(limit=limit + 1, after_sku=after)
        return build_page(rows, limit=limit, item=Product.model_validate, key=lambda product: (product.sku,))

    async def get_product(self, sku: str) -> models.Product:
        """Return the product. Raises ProductNotFoundError."""
        product = await self._products.find_product(sku)
        if product is None:
            raise ProductNotFoundError(f"There is no product {sku}")
        return product

    async def reserve_stock(self, body: OrderCreate) -> Mapping[str, ReservedProduct]:
        """Reserve all items of an order and return their products by sku.

        An error rolls the reservation back with the transaction. It lists all wrong items.

        Raises:
            UnknownProductError: Items name products that are not in the catalog.
            OutOfStockError: Items request more units than are available.
        """
        quantities = body.quantities()
        products = await self._products.reserve_stock(quantities)
        if unknown := [sku for sku in quantities if sku not in products]:
            raise UnknownProductError([_field_error(body, sku, f"there is no product {sku}") for sku in unknown])
        if short := [product for product in products.values() if product.available < quantities[product.sku]]:
            raise OutOfStockError([_field_error(body, product.sku, _describe_shortage(product)) for product in short])
        return products

    async def end_reservation(self, order_id: UUID, effect: StockEffect) -> list[StockLevel]:
        """Apply the stock effect of a transition. Returns the stock levels if units are available again."""
        if effect is StockEffect.KEEP:
            return []
        levels = await self._products.end_reservation(order_id, shipped=effect is StockEffect.SHIP)
        return levels if effect is StockEffect.RELEASE else []


def _describe_shortage(product: ReservedProduct) -> str:
    return f"{product.available} of {product.sku} are available"


def _field_error(body: OrderCreate, sku: str, message: str) -> FieldError:
    return FieldError(field=body.field_of(sku), message=message)


def _decode_sku_cursor(cursor: str) -> str:
    [sku] = decode_cursor(cursor, parts=1)
    if not re.fullmatch(SKU, sku):
        raise invalid_cursor_error()
    return sku
