"""Fault injection: in development, calls between two services are slow or fail for a while.

A fault is stored in Redis with an expiry (`store`). Each process reads the faults of its own calls every second
(`watcher`) and injects them on its side of the connection (`injection`, `transport`). The called service is not
affected. The kind `crash` ends each process of a service that reaches the given crash point (`crash_points`).

Outside development no faults are read. Without faults a call costs one lookup in an empty dictionary (ADR 15).
"""

from shared.faults.injection import ALL_PERCENT, DEFAULT_VALUES, Fault, FaultKind
from shared.faults.store import FaultStore
from shared.faults.transport import FaultInjectionTransport
from shared.faults.watcher import ActiveFaults, FaultWatcher, watch_faults

__all__ = [
    "ALL_PERCENT",
    "DEFAULT_VALUES",
    "ActiveFaults",
    "Fault",
    "FaultInjectionTransport",
    "FaultKind",
    "FaultStore",
    "FaultWatcher",
    "watch_faults",
]
