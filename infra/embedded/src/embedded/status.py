"""Everything `status` reports, as data; `embedded.report` shows it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import asyncpg
import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from embedded import orphans, processes
from embedded.environment import DATABASES
from embedded.processes import Table
from embedded.stack import MARKER, Stack
from embedded.supervisor import ProcessState, Supervisor

STREAMS = {"users": "events:users", "orders": "events:orders"}
"""Databases with an outbox, and the stream it is shipped to."""


@dataclass(frozen=True)
class ProcessStatus:
    """One supervised process with its children; `memory_bytes` is PSS: shared pages are divided, so it adds up."""

    name: str
    state: str
    pid: int | None
    uptime_s: int
    restarts: int
    memory_bytes: int


@dataclass(frozen=True)
class DatabaseStatus:
    """One database; the counts are None where the table does not exist. Dead letters are those not replayed yet."""

    name: str
    size_bytes: int
    connections: int
    outbox: int | None
    dead_letters: int | None
    jobs: dict[str, int] | None


@dataclass(frozen=True)
class GroupStatus:
    """One consumer group of a stream; `lag` entries were not delivered yet, `pending` not acknowledged."""

    stream: str
    length: int
    group: str
    lag: int | None
    pending: int


@dataclass(frozen=True)
class ScheduleStatus:
    """Something regular: RFC 3339 times of its last and next slot, and what became of the last one's job."""

    name: str
    last_slot: str | None
    last_state: str | None
    next_slot: str


SCHEDULES = """SELECT schedule.name, to_char(last_slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') AS last_slot,
    job.state AS last_state, to_char(next_slot AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') AS next_slot
    FROM schedule LEFT JOIN job ON job.id = schedule.last_job_id ORDER BY schedule.next_slot, schedule.name"""
"""Asked of the database of the workers."""


@dataclass(frozen=True)
class Status:
    """The whole stack."""

    processes: list[ProcessStatus] = field(default_factory=list)
    databases: list[DatabaseStatus] = field(default_factory=list)
    max_connections: int = 0
    groups: list[GroupStatus] = field(default_factory=list)
    schedules: list[ScheduleStatus] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether every process of the table runs."""
        return bool(self.processes) and all(process.state == "RUNNING" for process in self.processes)

    @property
    def memory_bytes(self) -> int:
        """Memory of all processes together."""
        return sum(process.memory_bytes for process in self.processes)

    def as_dict(self) -> dict[str, object]:
        """Give it for `--json`."""
        return {"healthy": self.healthy, "memory_bytes": self.memory_bytes, **asdict(self)}


async def collect(stack: Stack, caller: Mapping[str, str]) -> Status:
    """Ask supervisord, PostgreSQL and Valkey; what does not answer is left out. Empty if the stack is down."""
    supervisor = Supervisor(stack)
    if not (stack.home / MARKER).exists():
        return Status()
    if not supervisor.daemon():
        return Status(orphans=[process.pid for process in orphans.find(stack)])
    table = processes.table(stack, caller)
    restarts = supervisor.restarts()
    states = supervisor.states()
    running = [_process(states[process.name], restarts.get(process.name, 0)) for process in table.processes]
    groups, shipped = await _streams(table)
    databases, max_connections = await _databases(table, shipped)
    return Status(running, databases, max_connections, groups, await _schedules(table))


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
    """Add up a process and its children; RSS where the system gives no PSS."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    except psutil.Error:  # it ended meanwhile
        return total
    return total


async def _streams(table: Table) -> tuple[list[GroupStatus], dict[str, int]]:
    """Give the groups of each stream, and the number of the last event shipped to it by its database."""
    groups, shipped = list[GroupStatus](), dict[str, int]()
    redis = Redis.from_url(table.valkey.url, decode_responses=True, socket_timeout=2)
    try:
        for database, stream in STREAMS.items():
            try:
                found = await redis.xinfo_stream(stream)
                shipped[database] = int(found["last-generated-id"].split("-")[0])
                for group in await redis.xinfo_groups(stream):
                    groups.append(GroupStatus(stream, found["length"], group["name"], group["lag"], group["pending"]))
            except ResponseError:  # nothing was ever shipped
                shipped[database] = 0
    except (RedisError, OSError):
        return [], {}
    finally:
        await redis.aclose()
    return groups, shipped


async def _databases(table: Table, shipped: Mapping[str, int]) -> tuple[list[DatabaseStatus], int]:
    """Give the services' databases that exist, and the number of connections the server allows."""
    try:
        server = await asyncpg.connect(table.superuser_url(), timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return [], 0
    try:
        rows = await server.fetch(
            "SELECT datname, numbackends, pg_database_size(datid) AS size FROM pg_stat_database"
            " WHERE datname = ANY($1)",
            list(DATABASES),
        )
        limit = int(await server.fetchval("SHOW max_connections"))
        found = [await _database(table, row, shipped.get(row["datname"], 0)) for row in rows]
        return found, limit
    finally:
        await server.close()


async def _database(table: Table, row: asyncpg.Record, shipped: int) -> DatabaseStatus:
    connection = await asyncpg.connect(
        table.postgres.url(table.superuser_password(), database=row["datname"]), timeout=2
    )
    try:
        unshipped = "SELECT count(*) FROM outbox WHERE pub_seq IS NULL OR pub_seq > $1"
        return DatabaseStatus(
            name=row["datname"],
            size_bytes=row["size"],
            connections=row["numbackends"],
            outbox=await _value(connection, "outbox", unshipped, shipped),
            dead_letters=await _value(
                connection, "dead_letter", "SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL"
            ),
            jobs=await _jobs(connection),
        )
    finally:
        await connection.close()


async def _schedules(table: Table) -> list[ScheduleStatus]:
    """Give what the workers do regularly, the next first; nothing where their database is not there."""
    url = table.postgres.url(table.superuser_password(), database="workers")
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return []
    try:
        known = await _has(connection, "schedule")
        return [ScheduleStatus(**row) for row in await connection.fetch(SCHEDULES)] if known else []
    finally:
        await connection.close()


async def _value(connection: asyncpg.Connection, table: str, query: str, *arguments: object) -> int | None:
    """Give the one value of a query, or None where the service has no such table."""
    if not await _has(connection, table):
        return None
    value: int = await connection.fetchval(query, *arguments)
    return value


async def _jobs(connection: asyncpg.Connection) -> dict[str, int] | None:
    """Count the jobs of the ledger by their state."""
    if not await _has(connection, "job"):
        return None
    return dict(await connection.fetch("SELECT state::text, count(*) FROM job GROUP BY 1 ORDER BY 1"))


async def _has(connection: asyncpg.Connection, table: str) -> bool:
    """Ask first: a query for a table that is not there would stand in the server's log as an error."""
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table))
