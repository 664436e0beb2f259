"""The business decisions: what is for sale, what may be ordered, what a key means, which moves an order may make."""

from orders.service.catalog import Catalog
from orders.service.orders import Orders, Placed

__all__ = ["Catalog", "Orders", "Placed"]
