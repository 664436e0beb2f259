"""Debug pages of a service: its connection pool, slow statements with their plans, and all tasks.

They exist in development only, because they show code and current work without authentication.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.database import Database
from shared.db.pool import MeasuredPool
from shared.db.statements import get_statement_recorder

router = APIRouter(prefix="/debug", tags=["debug"], include_in_schema=False)


class PoolState(BaseModel):
    """Database connections of this process. Callers wait if `at_most` are checked out."""

    checked_out: int
    idle: int
    at_most: int


class Pools(BaseModel):
    """`database` is null in a service without a database."""

    database: PoolState | None


class TaskState(BaseModel):
    """A task, its coroutine, and the stack of frames in which it waits (outermost first)."""

    name: str
    coroutine: str
    waits_at: list[str]


@router.get("/pool")
async def read_pool(request: Request) -> Pools:
    """Return the state of the pool."""
    database: Database | None = getattr(request.app.state, "database", None)
    return Pools(database=None if database is None else _describe_pool(database.engine.pool))


class SlowStatementState(BaseModel):
    """A slow statement of this process, without its values, and its generic plan."""

    statement: str
    count: int
    longest_ms: float
    plan: list[str] = []


@router.get("/slow-statements")
async def list_slow_statements(request: Request, *, explain: bool = False) -> list[SlowStatementState]:
    """Return the latest slow statements of this process; with `explain`, the generic plan of each (PostgreSQL 16)."""
    database: Database | None = getattr(request.app.state, "database", None)
    if database is None:
        return []
    found = []
    async with database.engine.connect() as connection:
        recorder = await connection.run_sync(get_statement_recorder)
        for statement, slow in reversed([*recorder.slow.items()] if recorder else []):
            plan = await _explain(connection, statement) if explain else []
            longest_ms = round(slow.longest_s * 1000, 1)
            found.append(SlowStatementState(statement=statement, count=slow.count, longest_ms=longest_ms, plan=plan))
    return found


async def _explain(connection: AsyncConnection, statement: str) -> list[str]:
    """Return the lines of `EXPLAIN (GENERIC_PLAN)`, which needs no values and executes nothing."""
    try:
        rows = await connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {statement}")
        return [line for (line,) in rows]
    except DBAPIError as error:
        await connection.rollback()
        return [f"no plan: {str(error.orig).splitlines()[0]}"]


@router.get("/tasks")
async def read_tasks() -> list[TaskState]:
    """Return every task of the event loop except the current one."""
    current = asyncio.current_task()
    return sorted(
        (_describe_task(task) for task in asyncio.all_tasks() if task is not current), key=lambda task: task.name
    )


def _describe_pool(pool: Any) -> PoolState:
    assert isinstance(pool, MeasuredPool)  # noqa: S101 - shared.db.database creates only this class
    return PoolState(checked_out=pool.checkedout(), idle=pool.checkedin(), at_most=pool.limit)


def _describe_task(task: asyncio.Task[Any]) -> TaskState:
    """Describe a task by its chain of awaited coroutines, which ends at an awaitable not written in Python."""
    waits_at = []
    step: Any = task.get_coro()
    name = getattr(step, "__qualname__", repr(step))
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None) or getattr(step, "ag_frame", None)
        if frame is not None:
            waits_at.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None) or getattr(step, "ag_await", None)
    return TaskState(name=task.get_name(), coroutine=name, waits_at=waits_at)
