"""Wire shapes: products, orders and sales in `orders`, reports in `reports`."""

from orders.schemas.orders import (
    SKU,
    DaySales,
    Order,
    OrderCreate,
    OrderItem,
    OrderItemCreate,
    Product,
    Sku,
    SoldProduct,
    StockLevel,
)
from orders.schemas.reports import Report, ReportCreate, ReportFailure, ReportFile, ReportJob, ReportProgress

__all__ = [
    "SKU",
    "DaySales",
    "Order",
    "OrderCreate",
    "OrderItem",
    "OrderItemCreate",
    "Product",
    "Report",
    "ReportCreate",
    "ReportFailure",
    "ReportFile",
    "ReportJob",
    "ReportProgress",
    "Sku",
    "SoldProduct",
    "StockLevel",
]
