"""Fault switches for people who learn: in development, the calls between two services can be made to fail for a while.

A switch is a row in Redis with an end; each process keeps those of its own calls in memory (`watch`) and suffers them
on its side of the connection (`switch`), so that the other service, its database and everybody else are left alone.
One kind is no call's: a process can be made to die at one of its crash points (`shared.crash`), once.
Outside development nothing watches and nothing can be switched. With none set, a call pays one look into an empty
dictionary.
"""

from shared.faults.store import FaultStore
from shared.faults.switch import ALL_PERCENT, USUAL_VALUE, Fault, Kind
from shared.faults.transport import FaultyCalls
from shared.faults.watch import Faults, FaultWatch, watched_faults

__all__ = [
    "ALL_PERCENT",
    "USUAL_VALUE",
    "Fault",
    "FaultStore",
    "FaultWatch",
    "Faults",
    "FaultyCalls",
    "Kind",
    "watched_faults",
]
