"""Wire shapes of the gateway's own routes: aggregates, and fault switches."""

from gateway.schemas.aggregates import SERVICE_SCHEMA, Dashboard, OrderSummary, UserLookup, UsersFound
from gateway.schemas.faults import CRASH_POINTS, FaultsOn, NewFault

__all__ = [
    "CRASH_POINTS",
    "SERVICE_SCHEMA",
    "Dashboard",
    "FaultsOn",
    "NewFault",
    "OrderSummary",
    "UserLookup",
    "UsersFound",
]
