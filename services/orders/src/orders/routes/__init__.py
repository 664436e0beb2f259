"""HTTP in, HTTP out: `orders` for the catalog and orders, `reports`."""

from orders.routes.orders import internal as internal_orders
from orders.routes.orders import orders, products, sales
from orders.routes.reports import internal as internal_reports
from orders.routes.reports import reports

__all__ = ["internal_orders", "internal_reports", "orders", "products", "reports", "sales"]
