"""Wire shapes: `orders` for the catalog and orders, `reports`."""

from orders.schemas.orders import (
    SKU,
    DaySales,
    NewItem,
    NewOrder,
    OrderItemOut,
    OrderOut,
    ProductOut,
    Sku,
    SoldProduct,
    StockLevel,
)
from orders.schemas.reports import NewReport, ReportFailure, ReportFile, ReportOut, ReportProgress, ReportWork

__all__ = [
    "SKU",
    "DaySales",
    "NewItem",
    "NewOrder",
    "NewReport",
    "OrderItemOut",
    "OrderOut",
    "ProductOut",
    "ReportFailure",
    "ReportFile",
    "ReportOut",
    "ReportProgress",
    "ReportWork",
    "Sku",
    "SoldProduct",
    "StockLevel",
]
