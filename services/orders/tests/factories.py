"""The running service, its products and what it stores."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
from fastapi import FastAPI
from services.orders.tests.clients import ApiClient

from orders.main import create_app
from orders.settings import Settings
from testkit.apps import http_client, serve
from testkit.tokens import TokenIssuer

_numbers = count(1)

STOCK_VIOLATIONS = """
    SELECT product.sku
    FROM product
    LEFT JOIN (
        SELECT item.sku,
               sum(item.quantity) FILTER (WHERE customer_order.status IN ('placed', 'packed')) AS reserved,
               sum(item.quantity) FILTER (WHERE customer_order.status = 'shipped') AS shipped
        FROM order_item AS item JOIN customer_order ON customer_order.id = item.order_id
        GROUP BY item.sku
    ) AS ordered USING (sku)
    WHERE product.reserved <> coalesce(ordered.reserved, 0)
       OR product.shipped <> coalesce(ordered.shipped, 0)
       OR product.reserved NOT BETWEEN 0 AND product.stock
"""
"""Select the products with counters that disagree with the orders (invariant I8 of tests/chaos)."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The running service, its database, and clients of it."""

    app: FastAPI
    url: str
    http: httpx.AsyncClient
    database: asyncpg.Pool
    objects: Path
    issuer: TokenIssuer

    @cached_property
    def worker(self) -> ApiClient:
        """The client of the workers."""
        return self.client(role="service")

    def client(self, *, role: str = "customer") -> ApiClient:
        """Return a client with the token of a new user."""
        user_id = uuid4()
        return ApiClient(user_id, self.issuer.headers(user_id, role=role), self.http)

    async def create_product(self, *, stock: int = 100, price: int = 1000) -> str:
        """Insert a product and return its sku."""
        sku = f"TEST-{next(_numbers):06}"
        await self.database.execute(
            "INSERT INTO product (sku, name, unit_price_cents, stock) VALUES ($1, $2, $3, $4)", sku, sku, price, stock
        )
        return sku

    async def available(self, sku: str) -> int:
        """Return the available units of a product."""
        available: int = (await self.http.get(f"/products/{sku}")).json()["available"]
        return available

    async def stock_counts(self, sku: str) -> tuple[int, int, int]:
        """Return stock, reserved and shipped of a product."""
        row = await self.database.fetchrow("SELECT stock, reserved, shipped FROM product WHERE sku = $1", sku)
        return tuple(row)

    async def has_lock_waiter(self) -> bool:
        """Return whether a transaction waits for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await self.database.fetchval(query))

    async def stock_violations(self) -> list[str]:
        """Return the skus of the products with counters that disagree with the orders."""
        return [row["sku"] for row in await self.database.fetch(STOCK_VIOLATIONS)]

    async def events_of(self, subject: str) -> list[asyncpg.Record]:
        """Return the outbox rows of an order or a report, oldest first."""
        query = "SELECT * FROM outbox WHERE subject = $1 ORDER BY position"
        rows: list[asyncpg.Record] = await self.database.fetch(query, subject)
        return rows

    async def event_names(self, subject: str) -> list[str]:
        """Return the names of the events of an order or a report, such as `placed`, oldest first."""
        return [event_name(row) for row in await self.events_of(subject)]


@asynccontextmanager
async def open_shop(
    *, database: str, redis_url: str, issuer: TokenIssuer, objects: Path, **changes: object
) -> AsyncIterator[Shop]:
    """Run the service. `changes` replace settings."""
    async with serve(issuer.jwks_app) as users_url, asyncpg.create_pool(database, min_size=1, max_size=3) as pool:
        settings = Settings.model_validate(
            {
                "environment": "test",
                "database_url": database,
                "redis_url": redis_url,
                "jwks_url": f"{users_url}/.well-known/jwks.json",
                "object_store_url": objects.as_uri(),
                **changes,
            }
        )
        app = create_app(settings)
        async with serve(app) as url, http_client(url) as http:
            yield Shop(app=app, url=url, http=http, database=pool, objects=objects, issuer=issuer)


def event_name(row: asyncpg.Record) -> str:
    """Return the third part of the type of an event, such as `placed` of `hopline.order.placed.v1`."""
    name: str = row["type"].split(".")[2]
    return name


def error_fields(problem: httpx.Response) -> Sequence[str]:
    """Return the fields that a problem names."""
    return [error["field"] for error in problem.json()["errors"]]
