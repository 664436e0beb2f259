"""Read the databases, the streams and the mailbox of a stack. Unlike a service, the checker reads all databases."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chaos.snapshot import (
    Account,
    Email,
    Event,
    Group,
    Job,
    Key,
    Mail,
    Notification,
    Order,
    Product,
    Snapshot,
    Stream,
)
from embedded.processes import Table
from embedded.status import STREAMS

_OUTBOX = "SELECT pub_seq AS seq, id::text, type, subject, data->>'user_id' AS user_id FROM outbox ORDER BY pub_seq"
_ACCOUNTS = "SELECT id::text, email FROM account"
_ORDERS = """SELECT customer_order.id::text, user_id::text, status,
        array_agg(sku) AS skus, array_agg(quantity) AS quantities
    FROM customer_order JOIN order_item ON order_id = customer_order.id GROUP BY customer_order.id"""
_KEYS = "SELECT user_id::text, key, order_id::text FROM idempotency_key"
_PRODUCTS = "SELECT sku, stock, reserved, shipped FROM product"
_NOTIFICATIONS = "SELECT user_id::text, seq, event_id::text FROM notification"
_HEADS = "SELECT user_id::text, seq FROM feed_head"
_JOBS = "SELECT kind, dedupe_key AS key, state, attempt FROM job"
_EMAILS = "SELECT dedupe_key AS key, message_id, state FROM email"
_DEAD_LETTERS = "SELECT consumer || ': ' || error FROM dead_letter WHERE replayed_at IS NULL"


class SnapshotReader:
    """Reads the stores of the stack with this process table.

    Accounts that existed at `begin` are not included, and the stock at `begin` is the reference of later stock.
    """

    def __init__(self, *, table: Table, mailpit: str) -> None:
        self._table = table
        self._mailpit = mailpit
        self._arrived: dict[str, int] = {}
        self._others = set[str]()

    async def begin(self) -> None:
        """Record the state before a run."""
        async with self._database("orders") as orders, self._database("users") as users:
            rows = await orders.fetch(_PRODUCTS)
            self._others = {row["id"] for row in await users.fetch(_ACCOUNTS)}
        self._arrived = {row["sku"]: row["stock"] + row["shipped"] for row in rows}

    async def read(self) -> Snapshot:
        """Read all stores. Errors of unavailable stores propagate.

        The stores are not read at the same moment, so a snapshot is reliable only if the next snapshot is equal.
        """
        mailbox = await self._mailbox()
        async with self._database("workers") as workers, self._database("notifications") as notifications:
            jobs, emails = await workers.fetch(_JOBS), await workers.fetch(_EMAILS)
            rows, heads = await notifications.fetch(_NOTIFICATIONS), await notifications.fetch(_HEADS)
            dead = [row[0] for database in (workers, notifications) for row in await database.fetch(_DEAD_LETTERS)]
        async with self._database("orders") as orders, self._database("users") as users:
            streams = [await self._stream(STREAMS["orders"], orders), await self._stream(STREAMS["users"], users)]
            products, keys = await orders.fetch(_PRODUCTS), await orders.fetch(_KEYS)
            accounts = await users.fetch(_ACCOUNTS)
            return Snapshot(
                accounts=tuple(Account(**row) for row in accounts if row["id"] not in self._others),
                orders=tuple(_order(row) for row in await orders.fetch(_ORDERS)),
                keys=tuple(Key(**row) for row in keys),
                products=tuple(Product(**row, arrived=self._arrived[row["sku"]]) for row in products),
                streams=tuple(streams),
                notifications=tuple(Notification(**row) for row in rows),
                heads=dict(heads),
                jobs=tuple(Job(**row) for row in jobs),
                emails=tuple(Email(**row) for row in emails),
                mailbox=tuple(mailbox),
                dead_letters=tuple(dead),
            )

    async def running_jobs(self) -> set[str]:
        """Return the lease tokens of running jobs."""
        async with self._database("workers") as workers:
            return {str(row[0]) for row in await workers.fetch("SELECT lease_token FROM job WHERE state = 'running'")}

    async def leader(self, stream: str) -> int | None:
        """Return the local port of the database connection of the leading relay; None if no relay leads."""
        async with self._database("postgres") as server:
            port: int | None = await server.fetchval(
                "SELECT client_port FROM pg_stat_activity JOIN pg_locks USING (pid)"
                " WHERE locktype = 'advisory' AND granted AND application_name = $1",
                f"relay {stream}",
            )
            return port

    def database_url(self, name: str) -> str:
        """Return the URL of a database for the superuser."""
        return self._table.postgres.url(self._table.superuser_password(), database=name)

    @asynccontextmanager
    async def _database(self, name: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        connection = await asyncpg.connect(self.database_url(name), timeout=5)
        try:
            # All statements of the transaction read the same state of the database.
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close()

    async def _stream(self, name: str, database: "asyncpg.Connection[asyncpg.Record]") -> Stream:
        redis: Redis = Redis.from_url(self._table.valkey.url, decode_responses=True, socket_timeout=5)
        try:
            entries = await redis.xrange(name)
            found = await redis.xinfo_stream(name)
            groups = await redis.xinfo_groups(name)
        except ResponseError:  # the stream does not exist
            entries, found, groups = [], {"last-generated-id": "0-0"}, []
        finally:
            await redis.aclose()
        return Stream(
            name=name,
            outbox=tuple(Event(**row) for row in await database.fetch(_OUTBOX)),
            entries=tuple((_number(entry), _event_id(fields)) for entry, fields in entries),
            last=_number(found["last-generated-id"]),
            groups=tuple(
                Group(name=g["name"], delivered=_number(g["last-delivered-id"]), pending=g["pending"]) for g in groups
            ),
        )

    async def _mailbox(self) -> list[Mail]:
        async with httpx.AsyncClient(base_url=self._mailpit, timeout=5) as mailpit:
            response = (await mailpit.get("/api/v1/messages", params={"limit": 0})).raise_for_status().json()
        return [
            Mail(
                message_id=f"<{mail['MessageID']}>",
                recipient=mail["To"][0]["Address"],
                subject=mail["Subject"],
                size=mail["Size"],
            )
            for mail in response["messages"]
        ]


def _order(row: Mapping[str, Any]) -> Order:
    items = tuple(zip(row["skus"], row["quantities"], strict=True))
    return Order(id=row["id"], user_id=row["user_id"], status=row["status"], items=items)


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def _event_id(fields: Mapping[str, str]) -> str:
    event_id: str = orjson.loads(fields["event"])["id"]
    return event_id
