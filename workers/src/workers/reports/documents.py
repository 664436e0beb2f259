"""The protocol of report documents. A document is created in pieces to limit the memory."""

from collections.abc import Sequence
from typing import Protocol

from workers.reports.schemas import ReportedOrder


class Document(Protocol):
    """A document. Each call returns the next bytes, which can be empty.

    Callers run `add` and `end` in a thread, because both take CPU time.
    """

    def begin(self) -> bytes:
        """Return the start of the document."""
        ...

    def add(self, orders: Sequence[ReportedOrder]) -> bytes:
        """Add the next orders, sorted by the time of their placement."""
        ...

    def end(self) -> bytes:
        """Return the end of the document."""
        ...
