"""What the worker asks and tells orders about reports. Each call may be repeated."""

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from workers.clients import ServiceToken, call, expect, problem
from workers.errors import ReportClosed
from workers.reports.schemas import OrdersPage, ReportWork

REPORT = "/internal/reports/{report_id}"
ORDERS_AT_ONCE = 500
"""A page of them is about 200 KB of JSON."""


class ReportsClient:
    """Raises ReportClosed where the report is finished or gone, DependencyAway where orders cannot say."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def begin(self, report_id: UUID) -> ReportWork:
        """Say that the report is being made; what it is to be."""
        return ReportWork.model_validate_json(await self._call("POST", report_id, "begin", body={}))

    async def orders(self, report_id: UUID, *, cursor: str | None) -> OrdersPage:
        """The page at `cursor`; parsed in a thread, as it takes some ten milliseconds."""
        query = f"?limit={ORDERS_AT_ONCE}" + (f"&cursor={quote(cursor)}" if cursor else "")
        content = await self._call("GET", report_id, "orders", query=query)
        return await asyncio.to_thread(OrdersPage.model_validate_json, content)

    async def progress(self, report_id: UUID, percent: int) -> None:
        """Say how far the report is; less than what was said before changes nothing."""
        await self._call("POST", report_id, "progress", body={"progress": percent})

    async def finish(self, report_id: UUID, *, size_bytes: int) -> None:
        """Say that the file is there."""
        await self._call("POST", report_id, "finish", body={"size_bytes": size_bytes})

    async def fail(self, report_id: UUID, *, reason: str) -> None:
        """Say that there will be none."""
        await self._call("POST", report_id, "fail", body={"reason": reason})

    async def _call(
        self, method: str, report_id: UUID, what: str, *, query: str = "", body: dict[str, Any] | None = None
    ) -> bytes:
        path = f"{REPORT.format(report_id=report_id)}/{what}{query}"
        response = await call(self._http, method, path, template=f"{REPORT}/{what}", auth=self._token, body=body)
        if (slug := problem(response)) in {"report-finished", "report-not-found"}:
            raise ReportClosed(f"report {report_id}: {slug}")
        expect(response, HTTPStatus.OK)
        return response.content
