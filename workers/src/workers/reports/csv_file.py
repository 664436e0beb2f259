"""The CSV document (RFC 4180, UTF-8): one line per order, money in cents, times in RFC 3339.

Spreadsheets evaluate a cell that starts with `=`, `+`, `-` or `@` as a formula. A SKU may start with such a character,
so the cells of `items` start with a number.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from workers.reports.schemas import ReportedOrder

COLUMNS = ("order_id", "user_id", "created_at", "status", "items", "units", "total_cents", "currency")


class CsvFile:
    """Writes orders as CSV. It keeps no state."""

    def begin(self) -> bytes:
        """Return the header line."""
        return _lines([COLUMNS])

    def add(self, orders: Sequence[ReportedOrder]) -> bytes:
        """Return the lines of these orders."""
        return _lines(_cells(order) for order in orders)

    def end(self) -> bytes:
        """Return no bytes, because CSV has no end."""
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
