"""Schemas of aggregates and fault switches. Those of the page's routes are in `gateway.browser.schemas`."""

from gateway.schemas.aggregates import SERVICE_SCHEMA, Dashboard, OrderSummary, UserLookup, UsersFound
from gateway.schemas.faults import CRASH_POINTS, FaultCreate, FaultList

__all__ = [
    "CRASH_POINTS",
    "SERVICE_SCHEMA",
    "Dashboard",
    "FaultCreate",
    "FaultList",
    "OrderSummary",
    "UserLookup",
    "UsersFound",
]
