"""The CSV (RFC 4180, UTF-8): one line per order, money in cents, times in RFC 3339.

Spreadsheets take a cell that begins with `=`, `+`, `-` or `@` for a formula; a sku may, so `items` begin with a number.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from workers.reports.schemas import ReportedOrder

COLUMNS = ("order_id", "user_id", "created_at", "status", "items", "units", "total_cents", "currency")


class CsvFile:
    """Holds nothing between two calls."""

    def begin(self) -> bytes:
        """Give the names of the columns."""
        return _lines([COLUMNS])

    def add(self, orders: Sequence[ReportedOrder]) -> bytes:
        """Give their lines."""
        return _lines(_cells(order) for order in orders)

    def end(self) -> bytes:
        """Give nothing more."""
        return b""


def _cells(order: ReportedOrder) -> tuple[object, ...]:
    items = "; ".join(f"{item.quantity} x {item.sku}" for item in order.items)
    units = sum(item.quantity for item in order.items)
    placed_at = order.created_at.isoformat().replace("+00:00", "Z")
    return order.id, order.user_id, placed_at, order.status, items, units, order.total_cents, order.currency


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
