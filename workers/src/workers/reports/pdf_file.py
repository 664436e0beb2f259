"""The PDF document: totals, a chart and a table by day, week or month, and the newest orders.

It does not list every order, because 100,000 orders are 2,000 pages, and reportlab keeps all pages in memory. The CSV
lists every order. The pages contain numbers, ids and English text, so the standard fonts are sufficient. reportlab is
imported when the first PDF is created, because it needs 7 MB of memory.
"""

import io
from collections.abc import Sequence
from typing import Any

from workers.reports.schemas import ReportedOrder, ReportWork
from workers.reports.summary import NEWEST, Summary

ROWS_PER_TABLE = 50
"""Maximum rows of one table, because the time of its layout grows with the square of its rows."""

_BLUE, _GREY = "#2a6f97", "#dddddd"
_WIDTH, _HEIGHT = 480, 160
_MAX_LABELS = 16


class PdfFile:
    """Adds up the orders, and lays out the pages at the end, which takes about a second."""

    def __init__(self, work: ReportWork) -> None:
        self._work = work
        self._summary = Summary(period_from=work.period_from, period_to=work.period_to)

    def begin(self) -> bytes:
        """Return no bytes, because the document is created at the end."""
        return b""

    def add(self, orders: Sequence[ReportedOrder]) -> bytes:
        """Add up the orders, and return no bytes."""
        self._summary.add(orders)
        return b""

    def end(self) -> bytes:
        """Return the whole document."""
        from reportlab.lib.pagesizes import A4
        from reportlab.platypus import SimpleDocTemplate

        output = io.BytesIO()
        SimpleDocTemplate(output, pagesize=A4, title="Orders", author="Hopline", invariant=1, pageCompression=1).build(
            self._story(), onFirstPage=_draw_page_number, onLaterPages=_draw_page_number
        )
        return output.getvalue()

    def _story(self) -> list[Any]:
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.platypus import Paragraph, Spacer

        styles, summary = getSampleStyleSheet(), self._summary
        title = "All orders" if self._work.scope == "all" else "Your orders"
        period = f"{summary.period_from:%Y-%m-%d %H:%M} to {summary.period_to:%Y-%m-%d %H:%M} UTC"
        sums = summary.all
        totals = (
            f"{sums.orders:,} orders, {sums.cancelled:,} of them cancelled; "
            f"{sums.units:,} units for {_money(sums.total_cents)} {summary.currency}"
        )
        return [
            Paragraph(title, styles["Title"]),
            Paragraph(period, styles["Normal"]),
            Paragraph(totals, styles["Normal"]),
            Spacer(0, 12),
            self._chart(),
            Spacer(0, 12),
            *self._parts(),
            *self._newest(Paragraph("The newest orders", styles["Heading2"])),
        ]

    def _chart(self) -> Any:
        from reportlab.graphics.charts.barcharts import VerticalBarChart
        from reportlab.graphics.shapes import Drawing
        from reportlab.lib.colors import HexColor

        parts = self._summary.parts()
        label_interval = -(-len(parts) // _MAX_LABELS)
        chart = VerticalBarChart()
        chart.x, chart.y, chart.width, chart.height = 50, 40, _WIDTH - 60, _HEIGHT - 50
        chart.data = [[sums.total_cents / 100 for _, sums in parts]]
        chart.valueAxis.valueMin = 0
        chart.valueAxis.labelTextFormat = "%d"
        labels = [f"{start:%m-%d}" if number % label_interval == 0 else "" for number, (start, _) in enumerate(parts)]
        chart.categoryAxis.categoryNames = labels
        chart.categoryAxis.labels.angle, chart.categoryAxis.labels.boxAnchor = 45, "ne"
        chart.categoryAxis.visibleTicks = 0
        chart.bars[0].fillColor, chart.bars.strokeWidth = HexColor(_BLUE), 0
        drawing = Drawing(_WIDTH, _HEIGHT)
        drawing.add(chart)
        return drawing

    def _parts(self) -> list[Any]:
        head = (self._summary.unit, "orders", "cancelled", "units", self._summary.currency or "total")
        rows = [
            (
                f"{start:%Y-%m-%d}",
                f"{sums.orders:,}",
                f"{sums.cancelled:,}",
                f"{sums.units:,}",
                _money(sums.total_cents),
            )
            for start, sums in self._summary.parts()
        ]
        return _tables(head, rows, numbers_from=1)

    def _newest(self, title: Any) -> list[Any]:
        rows = [
            (f"{order.created_at:%Y-%m-%d %H:%M}", str(order.id), order.status, _money(order.total_cents))
            for order in reversed(self._summary.newest)
        ]
        if self._summary.all.orders > NEWEST:
            rows.append(("...", f"and {self._summary.all.orders - NEWEST:,} before these", "", ""))
        head = ("placed (UTC)", "order", "status", self._summary.currency)
        return [title, *_tables(head, rows, numbers_from=3)] if rows else []


def _tables(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers_from: int) -> list[Any]:
    """Return tables that look like one table on consecutive pages. Columns from `numbers_from` are right-aligned."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table

    style = [
        ("FONTSIZE", (0, 0), (-1, -1), 8),
        ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"),
        ("ALIGN", (numbers_from, 0), (-1, -1), "RIGHT"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, HexColor(_GREY)),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    width = _WIDTH / sum(_share(name) for name in head)
    columns = [width * _share(name) for name in head]
    chunks = (rows[first : first + ROWS_PER_TABLE] for first in range(0, len(rows), ROWS_PER_TABLE))
    return [Table([head, *chunk], colWidths=columns, repeatRows=1, style=style) for chunk in chunks]


def _share(column: str) -> int:
    return 3 if column == "order" else 1


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _draw_page_number(canvas: Any, _document: Any) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.drawRightString(_WIDTH + 60, 30, str(canvas.getPageNumber()))
