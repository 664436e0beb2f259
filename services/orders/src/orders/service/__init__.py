"""The business decisions: what is for sale, what may be ordered, what a key means, which moves an order may make."""

from orders.service.catalog import Catalog
from orders.service.orders import Orders, Placed
from orders.service.sales import Sales

__all__ = ["Catalog", "Orders", "Placed", "Sales"]
