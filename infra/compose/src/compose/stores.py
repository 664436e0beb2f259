"""What the stores hold, asked inside their containers: they have no port on this machine."""

import json
from typing import Any

from compose.engine import Engine
from compose.errors import ComposeError
from compose.project import DATABASES
from embedded.status import SCHEDULES, STREAMS, DatabaseStatus, GroupStatus, ScheduleStatus

_DATABASE = r"""\connect {name}
\set outbox null
\set dead_letters null
\set jobs null
SELECT to_regclass('outbox') IS NOT NULL AS publishes, to_regclass('dead_letter') IS NOT NULL AS consumes,
    to_regclass('job') IS NOT NULL AS works \gset
\if :publishes
    SELECT count(*) AS outbox FROM outbox WHERE pub_seq IS NULL OR pub_seq > {shipped} \gset
\endif
\if :consumes
    SELECT count(*) AS dead_letters FROM dead_letter WHERE replayed_at IS NULL \gset
\endif
\if :works
    SELECT quote_literal(coalesce(json_object_agg(state, count ORDER BY state), '{{}}')) AS jobs
        FROM (SELECT state::text, count(*) FROM job GROUP BY 1) AS states \gset
\endif
SELECT json_build_object(
    'size', pg_database_size(current_database()),
    'connections', (SELECT numbackends FROM pg_stat_database WHERE datname = current_database()),
    'limit', current_setting('max_connections')::int,
    'outbox', :outbox::bigint, 'dead_letters', :dead_letters::bigint, 'jobs', :jobs::json);
"""
"""For psql: a table is asked for only where it is there, or the query would stand in the server's log as an error."""


def streams(engine: Engine) -> tuple[list[GroupStatus], dict[str, int]]:
    """Give the groups of each stream, and the number of the last event shipped to it by its database."""
    groups, shipped = list[GroupStatus](), dict[str, int]()
    for database, stream in STREAMS.items():
        found = _redis(engine, "XINFO", "STREAM", stream)
        if not found:  # nothing was ever shipped
            shipped[database] = 0
            continue
        shipped[database] = int(found["last-generated-id"].split("-")[0])
        for group in _redis(engine, "XINFO", "GROUPS", stream):
            groups.append(GroupStatus(stream, found["length"], group["name"], group["lag"], group["pending"]))
    return groups, shipped


def databases(engine: Engine, shipped: dict[str, int]) -> tuple[list[DatabaseStatus], int]:
    """Give the services' databases, and the number of connections the server allows."""
    script = "".join(_DATABASE.format(name=name, shipped=shipped.get(name, 0)) for name in DATABASES)
    try:
        said = engine.run("exec", "-T", "postgres", "psql", "-qAtX", "-U", "postgres", stdin=script)
    except ComposeError:
        return [], 0
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    found = [_database(name, row) for name, row in zip(DATABASES, rows, strict=False)]
    return found, max((row["limit"] for row in rows), default=0)


def schedules(engine: Engine) -> list[ScheduleStatus]:
    """Give what the workers do regularly, the next first; nothing where their database is not there."""
    query = f"SELECT row_to_json(found) FROM ({SCHEDULES}) AS found;"  # noqa: S608 - made of constants
    try:
        said = engine.run("exec", "-T", "postgres", "psql", "-qAtX", "-U", "postgres", "-d", "workers", "-c", query)
    except ComposeError:
        return []
    return [ScheduleStatus(**json.loads(line)) for line in said.splitlines() if line.startswith("{")]


def _database(name: str, row: dict[str, Any]) -> DatabaseStatus:
    return DatabaseStatus(
        name=name,
        size_bytes=row["size"],
        connections=row["connections"],
        outbox=row["outbox"],
        dead_letters=row["dead_letters"],
        jobs=row["jobs"],
    )


def _redis(engine: Engine, *command: str) -> Any:
    """Run one command; None where the server refuses it or does not answer."""
    try:
        return json.loads(engine.run("exec", "-T", "redis", "redis-cli", "--json", *command))
    except (ComposeError, ValueError):
        return None
