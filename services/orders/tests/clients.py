"""The HTTP client of the tests, and the bodies that it sends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson

JSON = {"Content-Type": "application/json"}

Line = tuple[str, int]
"""A sku and a quantity."""


@dataclass(frozen=True)
class ApiClient:
    """Sends requests with the token of one user."""

    id: UUID
    headers: dict[str, str]
    http: httpx.AsyncClient

    async def place_order(self, *lines: Line, key: str | None = None) -> httpx.Response:
        """Place an order, by default with a new idempotency key, and return the response."""
        return await self.send_order(order_body(*lines), headers={"Idempotency-Key": key or uuid4().hex})

    async def send_order(self, body: bytes, *, headers: Mapping[str, str]) -> httpx.Response:
        """Send any body with any headers."""
        return await self.http.post("/orders", content=body, headers={**self.headers, **JSON, **headers})

    async def create_order(self, *lines: Line, key: str | None = None) -> dict[str, Any]:
        """Place an order and return it."""
        response = await self.place_order(*lines, key=key)
        assert response.status_code == 201, response.text
        order: dict[str, Any] = response.json()
        return order

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params, headers=self.headers)

    async def post(self, path: str, body: object = None) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self.headers)

    async def cancel(self, order_id: str) -> httpx.Response:
        return await self.post(f"/orders/{order_id}/cancel")

    async def request_report(self, **changes: Any) -> httpx.Response:
        """Request a report, by default as CSV with a period of 301 days that ends tomorrow."""
        return await self.post("/reports", report_body(**changes))

    async def apply_transition(self, order_id: str, name: str) -> httpx.Response:
        """Apply `pack` or `ship`, as the workers do."""
        return await self.post(f"/internal/orders/{order_id}/{name}")


def order_body(*lines: Line) -> bytes:
    """Return the body of an order."""
    return orjson.dumps({"items": [{"sku": sku, "quantity": quantity} for sku, quantity in lines]})


def report_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a report. `from_` and `to` are its period."""
    now = datetime.now(UTC)
    period = {"from_": (now - timedelta(days=300)).isoformat(), "to": (now + timedelta(days=1)).isoformat()}
    body = {"kind": "orders", "format": "csv", **period} | changes
    body["from"] = body.pop("from_")
    return body
