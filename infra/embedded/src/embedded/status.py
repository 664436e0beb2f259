"""Collects the data of `make status`; `embedded.report` prints it.

`make status` does not read tables of services. Each service describes its database in a view, `operator_status`: one
row with one JSON document. Its migrations create the view, so it changes together with the tables.

=================  =========================================================================================
`outbox`           `unsequenced` events, `last_sequence` and `low_water_mark`; of services that publish events
`dead_letters`     number of dead letters that were not replayed; of services that consume events
`jobs`             number of jobs by state; of the workers
`schedules`        `name`, `last_slot`, `last_state` and `next_slot` of each schedule; of the workers
=================  =========================================================================================
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg
import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from embedded import orphans, processes
from embedded.connections import budget
from embedded.environment import DATABASES
from embedded.processes import Table
from embedded.stack import MARKER, Stack
from embedded.supervisor import ProcessState, Supervisor
from shared.connections import AVAILABLE_CONNECTIONS, ConnectionBudget

STREAMS = {"users": "events:users", "orders": "events:orders"}
"""Databases with an outbox, and the stream that its events are appended to."""

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,  # the connection was closed
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server shuts down or starts up
)


@dataclass(frozen=True)
class ProcessStatus:
    """One supervised process with its children. `memory_bytes` is PSS, which counts shared pages only once."""

    name: str
    state: str
    pid: int | None
    uptime_s: int
    restarts: int
    memory_bytes: int


@dataclass(frozen=True)
class DatabaseStatus:
    """One database. `outbox` counts events that are not in the stream yet; a count is None if it does not apply."""

    name: str
    size_bytes: int
    connections: int
    outbox: int | None
    dead_letters: int | None
    jobs: dict[str, int] | None


@dataclass(frozen=True)
class GroupStatus:
    """One consumer group: `lag` entries of the stream were not delivered, `pending` not acknowledged."""

    stream: str
    length: int
    group: str
    lag: int | None
    pending: int


@dataclass(frozen=True)
class ScheduleStatus:
    """One schedule: its last and next slot in RFC 3339, and the state of the last slot's job."""

    name: str
    last_slot: str | None
    last_state: str | None
    next_slot: str


@dataclass(frozen=True)
class Status:
    """The whole stack."""

    processes: list[ProcessStatus] = field(default_factory=list)
    databases: list[DatabaseStatus] = field(default_factory=list)
    connections: ConnectionBudget | None = None
    groups: list[GroupStatus] = field(default_factory=list)
    schedules: list[ScheduleStatus] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether every process runs."""
        return bool(self.processes) and all(process.state == "RUNNING" for process in self.processes)

    @property
    def memory_bytes(self) -> int:
        """Memory of all processes together."""
        return sum(process.memory_bytes for process in self.processes)

    def as_dict(self) -> dict[str, object]:
        """Return the content of `status --json`."""
        connections = self.connections and {**asdict(self.connections), "needed": self.connections.needed}
        own = {"healthy": self.healthy, "memory_bytes": self.memory_bytes, "connections": connections}
        return asdict(self) | own


@dataclass(frozen=True, kw_only=True)
class DatabaseRow:
    """The report of the server about one database. `status` is its `operator_status`, empty before its migration."""

    name: str
    size_bytes: int
    connections: int
    status: dict[str, Any]

    def describe(self, *, last_entry: int) -> DatabaseStatus:
        """Return the status of the database; `last_entry` is the number of the stream's last entry."""
        outbox = self.status.get("outbox")
        if outbox is not None:
            missing = outbox["last_sequence"] - max(last_entry, outbox["low_water_mark"])
            outbox = outbox["unsequenced"] + max(missing, 0)
        return DatabaseStatus(
            name=self.name,
            size_bytes=self.size_bytes,
            connections=self.connections,
            outbox=outbox,
            dead_letters=self.status.get("dead_letters"),
            jobs=self.status.get("jobs"),
        )


def schedules_of(rows: Iterable[DatabaseRow]) -> list[ScheduleStatus]:
    """Return the schedules of all databases, the next slot first."""
    return [ScheduleStatus(**schedule) for row in rows for schedule in row.status.get("schedules", ())]


async def collect(stack: Stack, caller: Mapping[str, str]) -> Status:
    """Query supervisord, PostgreSQL and Valkey. Unavailable servers are left out; a stopped stack has no processes."""
    supervisor = Supervisor(stack)
    if not (stack.home / MARKER).exists():
        return Status()
    if not supervisor.daemon():
        return Status(orphans=[process.pid for process in orphans.find(stack)])
    table = processes.table(stack, caller)
    restarts = supervisor.restarts()
    states = supervisor.states()
    known = [process.name for process in table.processes if process.name in states]
    names = [*known, *(name for name in states if name not in known)]
    running = [_process(states[name], restarts.get(name, 0)) for name in names]
    groups, last_entries = await _streams(table)
    rows, available = await read_databases(table)
    databases = [row.describe(last_entry=last_entries.get(row.name, 0)) for row in rows]
    environments = [(name, environment) for name in names if (environment := _environment(states[name].pid))]
    connections = budget(environments, available=available) if available else None
    return Status(running, databases, connections, groups, schedules_of(rows))


def _environment(pid: int) -> dict[str, str]:
    """Return the environment that the process was started with; empty if it has ended or belongs to another user."""
    try:
        return psutil.Process(pid).environ() if pid else {}
    except psutil.Error:
        return {}


def _process(state: ProcessState, restarts: int) -> ProcessStatus:
    return ProcessStatus(
        name=state.name,
        state=state.state,
        pid=state.pid or None,
        uptime_s=state.uptime_s,
        restarts=restarts,
        memory_bytes=_memory(state.pid) if state.pid else 0,
    )


def _memory(pid: int) -> int:
    """Return the memory of a process and its children: PSS, or RSS if the system reports no PSS."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    except psutil.Error:  # the process ended meanwhile
        return total
    return total


async def _streams(table: Table) -> tuple[list[GroupStatus], dict[str, int]]:
    """Return the consumer groups of all streams, and the number of each stream's last entry by database."""
    groups, last_entries = list[GroupStatus](), dict[str, int]()
    redis = Redis.from_url(table.valkey.url, decode_responses=True, socket_timeout=2)
    try:
        for database, stream in STREAMS.items():
            try:
                found = await redis.xinfo_stream(stream)
                last_entries[database] = int(found["last-generated-id"].split("-")[0])
                for group in await redis.xinfo_groups(stream):
                    groups.append(GroupStatus(stream, found["length"], group["name"], group["lag"], group["pending"]))
            except ResponseError:  # the stream does not exist yet
                last_entries[database] = 0
    except (RedisError, OSError):
        return [], {}
    finally:
        await redis.aclose()
    return groups, last_entries


async def read_databases(table: Table) -> tuple[list[DatabaseRow], int]:
    """Return the existing databases of services, and the number of connections that the server allows to them.

    An unavailable server, also one that restarts meanwhile, has no databases and allows no connections.
    """
    try:
        server = await asyncpg.connect(table.superuser_url(), timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return [], 0
    try:
        found = await server.fetch(
            "SELECT datname AS name, numbackends AS connections, pg_database_size(datid) AS size_bytes"
            " FROM pg_stat_database WHERE datname = ANY($1)",
            list(DATABASES),
        )
        limit = int(await server.fetchval(AVAILABLE_CONNECTIONS))
        return [DatabaseRow(**row, status=await _operator_status(table, row["name"])) for row in found], limit
    except _UNAVAILABLE:
        return [], 0
    finally:
        await server.close()


async def _operator_status(table: Table, database: str) -> dict[str, Any]:
    connection = await asyncpg.connect(table.postgres.url(table.superuser_password(), database=database), timeout=2)
    try:
        if not await connection.fetchval("SELECT to_regclass('operator_status') IS NOT NULL"):
            return {}
        status: dict[str, Any] = json.loads(await connection.fetchval("SELECT status FROM operator_status"))
        return status
    finally:
        await connection.close()
