"""Calculates the sum of connections to PostgreSQL from the processes' environments, in embedded mode and Compose."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from embedded.environment import DATABASES, worker_count
from shared.connections import (
    MAX_OVERFLOW,
    PGBOUNCER_POOL_SIZE,
    POOL_SIZE,
    RESERVE,
    ConnectionBudget,
    Program,
)

POOLER = "pgbouncer"

DIRECT = {"users": 1, "orders": 1}
"""Connections of each process outside its pool, for its relay. `tools/checks/tests` compares them with the code."""

WORKERS = ("worker", "report-worker")
"""Programs that always run as one process, so WEB_CONCURRENCY does not apply."""

PROGRAMS = ("users", "orders", "notifications", *WORKERS)
"""The programs with a database. Their names are the same in every mode."""


def budget(
    environments: Iterable[tuple[str, Mapping[str, str]]], *, available: int, copies: Mapping[str, int] | None = None
) -> ConnectionBudget:
    """Return the sum for these programs with their environments; other programs are ignored.

    `copies` is the number of replicas of each program. A program that is listed twice has twice the processes.
    Processes with other pool sizes, such as a replica with an earlier setting, are a separate entry of the same name.
    """
    processes = Counter[Program]()
    reserve = 0
    for name, environment in environments:
        if name not in (*PROGRAMS, POOLER):
            continue
        program = _pooler(environment) if name == POOLER else _program(name, environment)
        processes[replace(program, processes=1)] += program.processes * (copies or {}).get(name, 1)
        if name != POOLER:
            reserve = max(reserve, _number(environment.get("DATABASE_RESERVE"), RESERVE))
    programs = [replace(program, processes=count) for program, count in processes.items()]
    order = sorted(programs, key=lambda program: (POOLER, *PROGRAMS).index(program.name))
    return ConnectionBudget(programs=tuple(order), reserve=reserve, available=available)


def _program(name: str, environment: Mapping[str, str]) -> Program:
    pooled = bool(environment.get("DATABASE_POOLER_URL"))
    return Program(
        name=name,
        processes=1 if name in WORKERS else _number(worker_count(environment.get("WEB_CONCURRENCY", "")), 1),
        pool=0 if pooled else _number(environment.get("DATABASE_POOL_SIZE"), POOL_SIZE),
        overflow=0 if pooled else _number(environment.get("DATABASE_MAX_OVERFLOW"), MAX_OVERFLOW),
        direct=DIRECT.get(name, 0),
    )


def _pooler(environment: Mapping[str, str]) -> Program:
    size = _number(environment.get("PGBOUNCER_POOL_SIZE"), PGBOUNCER_POOL_SIZE)
    return Program(name=POOLER, pool=len(DATABASES) * size)


def _number(value: str | None, default: int) -> int:
    """Return the number in a setting. The default replaces an invalid value, which the process itself rejects."""
    return int(value) if value and value.isascii() and value.isdecimal() else default
