"""The internal report routes of a fake orders service. Each report ends once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

START = datetime(2025, 11, 1, tzinfo=UTC)
"""A month that has ended, so that reports contain each of its days."""


@dataclass(kw_only=True)
class FakeReports:
    """Reports with `orders` orders, one per hour. Requests for a page wait while `open` is cleared.

    At a progress of `finished_by_another_at` percent, the report is finished by another worker.
    """

    orders: int = 3
    formats: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)
    finished_by_another_at: int = 101
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
        return [body["progress"] for what, body in self.calls if what == "progress"]

    def routes(self, accepts: Callable[[Request], bool]) -> list[Route]:
        """Return the routes. `accepts` returns whether a request has a valid token."""

        async def respond(request: Request) -> Response:
            return await self._respond(request) if accepts(request) else Response(status_code=401)

        return [Route("/internal/reports/{id}/{what}", respond, methods=["GET", "POST"])]

    async def _respond(self, request: Request) -> Response:
        report_id, what = request.path_params["id"], request.path_params["what"]
        if report_id not in self.formats:
            return self._problem(404, "report-not-found")
        if what == "orders":
            return await self._page(int(request.query_params["limit"]), int(request.query_params.get("cursor", 0)))
        body = await request.json()
        if what == "progress" and body["progress"] >= self.finished_by_another_at:
            self.ends[report_id] = "finish"
        if self.ends.get(report_id) not in {None, what}:
            return self._problem(409, "report-finished")
        self.calls.append((what, body))
        if what == "begin":
            return JSONResponse(self._work(report_id))
        if what in {"finish", "fail"}:
            self.ends[report_id] = what
        return JSONResponse({})

    async def _page(self, limit: int, first: int) -> Response:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        last = min(first + limit, self.orders)
        items = [self.order(number) for number in range(first, last)]
        return JSONResponse({"items": items, "next_cursor": str(last) if last < self.orders else None})

    def order(self, number: int) -> dict[str, Any]:
        """Return order `number`, counted from 0. Every tenth order was cancelled."""
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

    def _work(self, report_id: str) -> dict[str, Any]:
        kind = self.formats[report_id]
        period = {"period_from": START.isoformat(), "period_to": (START + timedelta(days=30)).isoformat()}
        key = f"reports/{report_id}.{kind}"
        known = {"id": report_id, "kind": "orders", "format": kind, "scope": "own", "object_key": key}
        return {**known, **period, "total": self.orders}

    @staticmethod
    def _problem(status: int, slug: str) -> Response:
        body = {"type": f"https://hopline.example/problems/{slug}", "status": status}
        return JSONResponse(body, status_code=status, media_type="application/problem+json")
