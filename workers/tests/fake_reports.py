"""The internal report routes of a fake orders service, which accepts one final status per report."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .factories import problem

START = datetime(2025, 11, 1, tzinfo=UTC)
"""Start of the period of all reports. The period is in the past, because a report has no days in the future."""


@dataclass(kw_only=True)
class FakeReports:
    """Reports with `orders` orders, one per hour.

    Requests for a page of orders wait while `open` is cleared. `waiting` is the number of these requests. `calls` has
    the action and the body of each accepted call. `ends` has the final action, `finish` or `fail`, by report id. When
    the progress reaches `finished_by_another_at` percent, another worker is assumed to have finished the report.
    """

    orders: int = 3
    formats: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)
    finished_by_another_at: int = 101  # never
    open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    def add_report(self, format: str = "csv") -> UUID:  # noqa: A002 - the field's name
        """Add a requested report and return its id."""
        report_id = uuid4()
        self.formats[str(report_id)] = format
        return report_id

    @property
    def progress(self) -> list[int]:
        """The reported progress, in percent."""
        return [body["progress"] for action, body in self.calls if action == "progress"]

    def routes(self, accepts: Callable[[Request], bool]) -> list[Route]:
        """Return the routes. `accepts` returns whether a request has a valid token."""

        async def respond(request: Request) -> Response:
            return await self._respond(request) if accepts(request) else Response(status_code=401)

        return [Route("/internal/reports/{id}/{action}", respond, methods=["GET", "POST"])]

    async def _respond(self, request: Request) -> Response:
        report_id, action = request.path_params["id"], request.path_params["action"]
        if report_id not in self.formats:
            return problem(404, "report-not-found")
        if action == "orders":
            return await self._page(int(request.query_params["limit"]), int(request.query_params.get("cursor", 0)))
        body = await request.json()
        if action == "progress" and body["progress"] >= self.finished_by_another_at:
            self.ends[report_id] = "finish"
        if self.ends.get(report_id) not in {None, action}:
            return problem(409, "report-finished")
        self.calls.append((action, body))
        if action == "begin":
            return JSONResponse(self._parameters(report_id))
        if action in {"finish", "fail"}:
            self.ends[report_id] = action
        return JSONResponse({})

    async def _page(self, limit: int, first: int) -> Response:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        end = min(first + limit, self.orders)
        items = [self.order(number) for number in range(first, end)]
        return JSONResponse({"items": items, "next_cursor": str(end) if end < self.orders else None})

    def order(self, number: int) -> dict[str, Any]:
        """Return order `number`, counted from 0: 2 units for 10.00 EUR. Every tenth order was cancelled."""
        item = {"sku": "BAG-CANVAS", "name": "Bag", "quantity": 2, "unit_price_cents": 500}
        return {
            "id": str(UUID(int=number)),
            "user_id": str(UUID(int=7)),
            "status": "cancelled" if number % 10 == 9 else "shipped",
            "items": [item],
            "total_cents": 1000,
            "currency": "EUR",
            "created_at": (START + timedelta(hours=number)).isoformat(),
        }

    def _parameters(self, report_id: str) -> dict[str, Any]:
        file_format = self.formats[report_id]
        period = {"period_from": START.isoformat(), "period_to": (START + timedelta(days=30)).isoformat()}
        key = f"reports/{report_id}.{file_format}"
        request = {"id": report_id, "kind": "orders", "format": file_format, "scope": "own"}
        return {**request, **period, "object_key": key, "total": self.orders}
