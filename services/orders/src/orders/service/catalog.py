"""What is for sale, and taking it off the shelf."""

import re
from collections.abc import Mapping
from uuid import UUID

from orders.errors import OutOfStock, ProductNotFound, UnknownProduct
from orders.models import Product
from orders.repository.catalog import CatalogRepository, Offer
from orders.schemas import SKU, NewOrder, ProductOut, StockLevel
from orders.states import StockEffect
from shared.errors import FieldError
from shared.pages import Page, decode_cursor, invalid_cursor, page_of


class Catalog:
    """Products and their stock."""

    def __init__(self, *, products: CatalogRepository) -> None:
        self._products = products

    async def page(self, *, limit: int, cursor: str | None) -> Page[ProductOut]:
        """Return one page of the products by sku; raises BadRequest for a cursor that is none."""
        after = _sku_in(cursor) if cursor else None
        rows = await self._products.page(limit=limit + 1, after_sku=after)
        return page_of(rows, limit=limit, item=ProductOut.model_validate, key=lambda product: (product.sku,))

    async def get(self, sku: str) -> Product:
        """Return the product, or raise ProductNotFound."""
        product = await self._products.find(sku)
        if product is None:
            raise ProductNotFound(f"There is no product {sku}")
        return product

    async def reserve(self, wanted: NewOrder) -> Mapping[str, Offer]:
        """Reserve everything `wanted`, or raise UnknownProduct or OutOfStock with every item that is at fault.

        What was reserved before the raise is rolled back with the transaction.
        """
        quantities = wanted.quantities()
        offers = await self._products.reserve(quantities)
        if unknown := [sku for sku in quantities if sku not in offers]:
            raise UnknownProduct([_field_error(wanted, sku, f"there is no product {sku}") for sku in unknown])
        if short := [offer for offer in offers.values() if offer.available < quantities[offer.sku]]:
            raise OutOfStock([_field_error(wanted, offer.sku, _shortage(offer)) for offer in short])
        return offers

    async def settle(self, order_id: UUID, effect: StockEffect) -> list[StockLevel]:
        """End the reservation of an order as its move demands; return the stock levels if units are available again."""
        if effect is StockEffect.KEEP:
            return []
        levels = await self._products.settle(order_id, shipped=effect is StockEffect.SHIP)
        return levels if effect is StockEffect.RELEASE else []


def _shortage(offer: Offer) -> str:
    return f"{offer.available} of {offer.sku} are available"


def _field_error(wanted: NewOrder, sku: str, message: str) -> FieldError:
    return FieldError(field=wanted.field_of(sku), message=message)


def _sku_in(cursor: str) -> str:
    [sku] = decode_cursor(cursor, parts=1)
    if not re.fullmatch(SKU, sku):
        raise invalid_cursor()
    return sku
