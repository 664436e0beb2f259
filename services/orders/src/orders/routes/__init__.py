"""HTTP in, HTTP out: `orders` for the catalog and orders, `reports`, and `debug` in development."""

from orders.routes.debug import debug
from orders.routes.orders import internal as internal_orders
from orders.routes.orders import orders, products, sales
from orders.routes.reports import internal as internal_reports
from orders.routes.reports import reports

__all__ = ["debug", "internal_orders", "internal_reports", "orders", "products", "reports", "sales"]
