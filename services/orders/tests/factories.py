"""What the tests are written in: a shop, its customers, and what they put into an order."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
from fastapi import FastAPI

from orders.main import create_app
from orders.models import STOCK_VIOLATIONS
from orders.settings import Settings
from testkit.apps import http_client, serve
from testkit.spans import Spans
from testkit.tokens import TokenIssuer

JSON = {"Content-Type": "application/json"}

_numbers = count(1)

Line = tuple[str, int]
"""A sku and how many of it."""


@dataclass(frozen=True)
class Caller:
    """Somebody with a token, asking over HTTP."""

    id: UUID
    headers: dict[str, str]
    http: httpx.AsyncClient

    async def place(self, *lines: Line, key: str | None = None) -> httpx.Response:
        return await self.send_order(order_of(*lines), headers={"Idempotency-Key": key or uuid4().hex})

    async def send_order(self, body: bytes, *, headers: Mapping[str, str]) -> httpx.Response:
        """Any body, any headers: what tests of bad input need."""
        return await self.http.post("/orders", content=body, headers={**self.headers, **JSON, **headers})

    async def placed(self, *lines: Line) -> dict[str, Any]:
        """An order that was placed."""
        response = await self.place(*lines)
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
        """By default on a year that has begun, as CSV."""
        return await self.post("/reports", report_body(**changes))

    async def move(self, order_id: str, move: str) -> httpx.Response:
        """`pack` or `ship`, as the workers do."""
        return await self.post(f"/internal/orders/{order_id}/{move}")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The running service, its database, and whoever comes to it."""

    app: FastAPI
    url: str
    http: httpx.AsyncClient
    database: asyncpg.Pool
    objects: Path
    issuer: TokenIssuer
    warehouse: Caller = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "warehouse", self.caller(role="service"))

    def caller(self, *, role: str = "customer") -> Caller:
        user_id = uuid4()
        return Caller(user_id, self.issuer.headers(user_id, role=role), self.http)

    async def product(self, *, stock: int = 100, price: int = 1000) -> str:
        """A new product; returns its sku."""
        sku = f"TEST-{next(_numbers):06}"
        await self.database.execute(
            "INSERT INTO product (sku, name, unit_price_cents, stock) VALUES ($1, $2, $3, $4)", sku, sku, price, stock
        )
        return sku

    async def available(self, sku: str) -> int:
        """As customers see it."""
        available: int = (await self.http.get(f"/products/{sku}")).json()["available"]
        return available

    async def shelf(self, sku: str) -> tuple[int, int, int]:
        """Stock, reserved, shipped."""
        row = await self.database.fetchrow("SELECT stock, reserved, shipped FROM product WHERE sku = $1", sku)
        return tuple(row)

    async def somebody_waits(self) -> bool:
        """Whether a transaction waits for another's lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await self.database.fetchval(query))

    async def stock_violations(self) -> list[str]:
        """Skus whose counters disagree with the orders (invariant I8)."""
        return [row["sku"] for row in await self.database.fetch(STOCK_VIOLATIONS)]

    async def events_of(self, subject: str) -> list[asyncpg.Record]:
        """The outbox rows about an order or a report, oldest first."""
        query = "SELECT * FROM outbox WHERE subject = $1 ORDER BY position"
        rows: list[asyncpg.Record] = await self.database.fetch(query, subject)
        return rows


@asynccontextmanager
async def open_shop(
    *, database: str, redis_url: str, issuer: TokenIssuer, objects: Path, **changes: object
) -> AsyncIterator[Shop]:
    """`changes` are other settings."""
    async with serve(issuer.jwks_app) as keys, asyncpg.create_pool(database, min_size=1, max_size=3) as pool:
        settings = Settings.model_validate(
            {
                "environment": "test",
                "database_url": database,
                "redis_url": redis_url,
                "jwks_url": f"{keys}/.well-known/jwks.json",
                "object_store_url": objects.as_uri(),
                **changes,
            }
        )
        app = create_app(settings)
        async with serve(app) as url, http_client(url) as http:
            yield Shop(app=app, url=url, http=http, database=pool, objects=objects, issuer=issuer)


def order_of(*lines: Line) -> bytes:
    """The body of an order."""
    return orjson.dumps({"items": [{"sku": sku, "quantity": quantity} for sku, quantity in lines]})


def report_body(**changes: Any) -> dict[str, Any]:
    """What to ask for; the period as `from_` and `to`."""
    now = datetime.now(UTC)
    period = {"from_": (now - timedelta(days=300)).isoformat(), "to": (now + timedelta(days=1)).isoformat()}
    body = {"kind": "orders", "format": "csv", **period} | changes
    body["from"] = body.pop("from_")
    return body


def fields(problem: httpx.Response) -> Sequence[str]:
    """The fields a problem complains about."""
    return [error["field"] for error in problem.json()["errors"]]


def statements(spans: Spans) -> int:
    """How many statements the requests so far have made, by their spans."""
    told = [(span.attributes or {}).get("hopline.db.queries", 0) for span in spans.finished()]
    return sum(count for count in told if isinstance(count, int))
