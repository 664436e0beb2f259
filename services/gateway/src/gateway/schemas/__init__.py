"""Schemas of the routes that the gateway serves itself: aggregates and fault switches."""

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
