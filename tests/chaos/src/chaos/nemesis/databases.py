"""PostgreSQL that runs but cannot serve: read-only, without disk space, or with a locked row."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import asyncpg
import httpx

from chaos.customer import Customer
from chaos.history import Operation, Outcome
from chaos.nemesis.scene import Scene
from embedded.environment import DATABASES
from testkit.waiting import eventually

_OPERATIONS_DURING_FAULT = 8
"""Operations during each fault."""

_RECOVERY_S = 5.0
"""Time after a fault from which each new write must succeed, because all pools work again."""

_WRITES = 6
"""Number of consecutive successful writes that prove the recovery. A write can use the pool of either process."""

_WRITE: Mapping[str, Callable[[Customer], Awaitable[Operation]]] = {
    "users": lambda customer: customer.register_guest(attempts=1),
    "orders": lambda customer: customer.place_order(only="BOOK-HOPS", attempts=1),
    "notifications": lambda customer: customer.mark_read(attempts=1),
}
"""A request that writes to a database, by its name. No request of a customer writes to the database of the workers."""

_LOCKED_SKU, _OTHER_SKU = "LAMP-DESK", "BOOK-HOPS"
_LOCKED_S = 12.0
_ATTEMPTS = 5
_WAITING_ORDERS = 40
"""More than the connections in the pools of both processes of orders."""

_DISK_FULL = """CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"""
_TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"


async def make_read_only(scene: Scene) -> None:
    """Row 18: make each database read-only in turn, like the old primary after a failover."""
    await _break_each(scene, _read_only, fails_readiness=True)


async def fill_disk(scene: Scene) -> None:
    """Row 23: simulate a full disk of each database in turn. No process may exit."""
    with scene.processes.assert_none_exits():
        await _break_each(scene, _disk_full, fails_readiness=False)


async def lock_product(scene: Scene) -> None:
    """Row 21: lock a product's row for 12 s while many orders wait for it. Orders of another product must succeed."""
    buyer, *_ = scene.workload.customers
    async with asyncio.TaskGroup() as waiting, _connection(scene, "orders") as orders, orders.transaction():
        await orders.execute("SELECT FROM product WHERE sku = $1 FOR UPDATE", _LOCKED_SKU)
        for _ in range(_WAITING_ORDERS):
            waiting.create_task(buyer.place_order(only=_LOCKED_SKU))
        locked_until = time.monotonic() + _LOCKED_S
        while time.monotonic() < locked_until:
            placed = await buyer.place_order(only=_OTHER_SKU, attempts=_ATTEMPTS)
            assert placed.outcome is Outcome.OK, f"an order of another product got {placed.statuses}"
            await scene.workload.progress(1)


async def _break_each(
    scene: Scene, fault: Callable[[Scene, str], AbstractAsyncContextManager[None]], *, fails_readiness: bool
) -> None:
    for name in DATABASES:
        async with fault(scene, name):
            if fails_readiness and name in _WRITE:
                await eventually(partial(scene.processes.is_unready, name), what=f"{name} not ready")
            await scene.workload.progress(_OPERATIONS_DURING_FAULT)
        await _wait_for_recovery(scene, name)
        await scene.processes.wait_until_ready()


async def _wait_for_recovery(scene: Scene, name: str) -> None:
    """Wait until several consecutive writes succeed. Raises AssertionError if a write that begins late fails.

    The time limit applies to the start of a write, not to its end, because a busy machine hashes passwords slowly.
    """
    if name not in _WRITE:
        return
    buyer, *_ = scene.workload.customers
    healed_at, succeeded = time.monotonic(), 0
    while succeeded < _WRITES:
        began_s = time.monotonic() - healed_at
        [status] = (await _WRITE[name](buyer)).statuses
        succeeded = succeeded + 1 if httpx.codes.is_success(status) else 0
        assert succeeded or began_s <= _RECOVERY_S, f"{name}: a write {began_s:.1f} s after healing got {status}"


@asynccontextmanager
async def _read_only(scene: Scene, name: str) -> AsyncIterator[None]:
    """Make new sessions of a database read-only within the block, and disconnect all clients at its start.

    Sessions that begin within the block remain read-only until they are closed.
    """
    async with _connection(scene, "postgres") as server:
        await server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            await server.execute(_DISCONNECT, name)
            yield
        finally:
            await server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@asynccontextmanager
async def _disk_full(scene: Scene, name: str) -> AsyncIterator[None]:
    """Make all statements that add rows fail with PostgreSQL's error for a full disk."""
    async with _connection(scene, name) as database:
        tables = [row[0] for row in await database.fetch(_TABLES)]
        await database.execute(_DISK_FULL)
        try:
            for table in tables:  # a transaction for each table, because locking all tables in one could deadlock
                await database.execute(
                    f"CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION disk_full()"
                )
            yield
        finally:
            for table in tables:
                await database.execute(f"DROP TRIGGER IF EXISTS disk_full ON {table}")
            await database.execute("DROP FUNCTION disk_full")


@asynccontextmanager
async def _connection(scene: Scene, database: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(scene.snapshot_reader.database_url(database), timeout=5)
    try:
        yield connection
    finally:
        await connection.close()
