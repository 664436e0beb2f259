"""What a report's file is made of, piece by piece, so that none of it has to be in memory whole."""

from collections.abc import Sequence
from typing import Protocol

from workers.reports.schemas import ReportedOrder


class Document(Protocol):
    """A file in the making. Each call gives what comes next of it, perhaps nothing, and computes: call in a thread."""

    def begin(self) -> bytes:
        """Give what comes first."""
        ...

    def add(self, orders: Sequence[ReportedOrder]) -> bytes:
        """Take the next orders, in the order in which they were placed."""
        ...

    def end(self) -> bytes:
        """Give what comes last."""
        ...
