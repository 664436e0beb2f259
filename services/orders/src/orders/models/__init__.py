"""The tables of the database `orders`: products and orders in `orders`, reports in `reports`, and the outbox."""

from orders.models.base import Base
from orders.models.orders import CURRENCY, IdempotencyKey, Order, OrderItem, Product
from orders.models.reports import COMPLETE, Report, ReportFormat, ReportKind, ReportScope, ReportStatus
from shared.messaging import outbox_table

__all__ = [
    "COMPLETE",
    "CURRENCY",
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
