"""The business decisions: what is for sale, what may be ordered, what a key means, how orders and reports move on."""

from orders.service.catalog import Catalog
from orders.service.orders import Orders, Placed
from orders.service.reports import ReportRules, Reports
from orders.service.sales import Sales

__all__ = ["Catalog", "Orders", "Placed", "ReportRules", "Reports", "Sales"]
