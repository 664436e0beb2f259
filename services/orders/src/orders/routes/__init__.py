"""HTTP routes. `orders` has products, orders and sales. `reports` has reports. `debug` is for development."""

from orders.routes.debug import debug_router
from orders.routes.orders import internal_orders_router, internal_sales_router, orders_router, products_router
from orders.routes.reports import internal_reports_router, reports_router

__all__ = [
    "debug_router",
    "internal_orders_router",
    "internal_reports_router",
    "internal_sales_router",
    "orders_router",
    "products_router",
    "reports_router",
]
