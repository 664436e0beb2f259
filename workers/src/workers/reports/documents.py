"""The protocol of a report document, which is written piece by piece to limit memory."""

from collections.abc import Sequence
from typing import Protocol

from workers.reports.schemas import ReportedOrder


class Document(Protocol):
    """A document. Each call returns the next bytes, or none. Call it in a thread, as it computes."""

    def begin(self) -> bytes:
        """Return the start of the document."""
        ...

    def add(self, orders: Sequence[ReportedOrder]) -> bytes:
        """Add the next orders, in the order in which they were placed."""
        ...

    def end(self) -> bytes:
        """Return the end of the document."""
        ...
