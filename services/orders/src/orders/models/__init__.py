"""The tables of the database `orders`: `orders` for the catalog and its orders, `reports`, and the outbox."""

from orders.models.base import Base
from orders.models.orders import CURRENCY, STOCK_VIOLATIONS, IdempotencyKey, Order, OrderItem, Product
from orders.models.reports import COMPLETE, Report, ReportFormat, ReportKind, ReportScope, ReportStatus
from shared.events import outbox_table

__all__ = [
    "COMPLETE",
    "CURRENCY",
    "STOCK_VIOLATIONS",
    "Base",
    "IdempotencyKey",
    "Order",
    "OrderItem",
    "Product",
    "Report",
    "ReportFormat",
    "ReportKind",
    "ReportScope",
    "ReportStatus",
]

outbox_table(Base.metadata)
