"""Wire shapes of the gateway's own routes: aggregates, and fault switches."""

from gateway.schemas.aggregates import OWNER, Dashboard, OrderSummary, UserLookup, UsersFound
from gateway.schemas.faults import CRASH_POINTS, FaultsOn, NewFault

__all__ = [
    "CRASH_POINTS",
    "OWNER",
    "Dashboard",
    "FaultsOn",
    "NewFault",
    "OrderSummary",
    "UserLookup",
    "UsersFound",
]
