"""Client of the internal API of orders for reports."""

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from workers.clients import ServiceToken, call, expect, problem_slug
from workers.errors import ReportClosedError
from workers.reports.schemas import OrdersPage, ReportWork

REPORT = "/internal/reports/{report_id}"
PAGE_SIZE = 500
"""Orders per page, about 200 KB of JSON."""


class ReportsClient:
    """Reads and updates reports. Each call is safe to repeat.

    Every method raises ReportClosedError if the report is finished or deleted, and DependencyUnavailableError if orders
    is unavailable.
    """

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def begin(self, report_id: UUID) -> ReportWork:
        """Mark the report as running and return its parameters."""
        return ReportWork.model_validate_json(await self._call("POST", report_id, "begin", body={}))

    async def get_orders(self, report_id: UUID, *, cursor: str | None) -> OrdersPage:
        """Return the page at `cursor`. The page is parsed in a thread, because this takes about ten milliseconds."""
        query = f"?limit={PAGE_SIZE}" + (f"&cursor={quote(cursor)}" if cursor else "")
        content = await self._call("GET", report_id, "orders", query=query)
        return await asyncio.to_thread(OrdersPage.model_validate_json, content)

    async def update_progress(self, report_id: UUID, percent: int) -> None:
        """Update the progress. Orders ignores a value that is lower than the current one."""
        await self._call("POST", report_id, "progress", body={"progress": percent})

    async def finish(self, report_id: UUID, *, size_bytes: int) -> None:
        """Mark the report as done."""
        await self._call("POST", report_id, "finish", body={"size_bytes": size_bytes})

    async def fail(self, report_id: UUID, *, reason: str) -> None:
        """Mark the report as failed."""
        await self._call("POST", report_id, "fail", body={"reason": reason})

    async def _call(
        self, method: str, report_id: UUID, action: str, *, query: str = "", body: dict[str, Any] | None = None
    ) -> bytes:
        path = f"{REPORT.format(report_id=report_id)}/{action}{query}"
        response = await call(self._http, method, path, template=f"{REPORT}/{action}", auth=self._token, body=body)
        if (slug := problem_slug(response)) in {"report-finished", "report-not-found"}:
            raise ReportClosedError(f"report {report_id}: {slug}")
        expect(response, HTTPStatus.OK)
        return response.content
