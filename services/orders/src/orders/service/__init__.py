"""Business logic: the catalog and its stock, placing orders and their transitions, reports, and sales."""

from orders.service.catalog import CatalogService
from orders.service.orders import OrderService, PlacementResult
from orders.service.reports import ReportOptions, ReportService
from orders.service.sales import SalesService

__all__ = ["CatalogService", "OrderService", "PlacementResult", "ReportOptions", "ReportService", "SalesService"]
