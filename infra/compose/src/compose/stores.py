"""Queries PostgreSQL and Redis inside their containers, because they have no port on this machine."""

import json
from typing import Any

from compose.engine import Engine
from compose.errors import ComposeError
from compose.project import DATABASES
from embedded.status import STREAMS, DatabaseRow, GroupStatus
from shared.connections import AVAILABLE_CONNECTIONS

_DATABASE = r"""\connect {name}
SELECT coalesce(to_regclass('operator_status')::text, '(SELECT ''{{}}''::json AS status)') AS source \gset
SELECT json_build_object(
    'available', ({available}),
    'row', json_build_object(
        'name', '{name}',
        'size_bytes', pg_database_size(current_database()),
        'connections', (SELECT numbackends FROM pg_stat_database WHERE datname = current_database()),
        'status', status))
    FROM :source AS described;
"""
"""psql commands for one database. Before its migration, an empty document replaces the view `operator_status`."""


def streams(engine: Engine) -> tuple[list[GroupStatus], dict[str, int]]:
    """Return the consumer groups of all streams, and the number of each stream's last entry by database."""
    groups, last_entries = list[GroupStatus](), dict[str, int]()
    for database, stream in STREAMS.items():
        found = _redis(engine, "XINFO", "STREAM", stream)
        if not found:  # the stream does not exist yet
            last_entries[database] = 0
            continue
        last_entries[database] = int(found["last-generated-id"].split("-")[0])
        for group in _redis(engine, "XINFO", "GROUPS", stream):
            groups.append(GroupStatus(stream, found["length"], group["name"], group["lag"], group["pending"]))
    return groups, last_entries


def databases(engine: Engine) -> tuple[list[DatabaseRow], int]:
    """Return the services' databases, and the number of connections that the server allows to their roles."""
    script = "".join(_DATABASE.format(name=name, available=AVAILABLE_CONNECTIONS) for name in DATABASES)
    try:
        output = engine.run("exec", "-T", "postgres", "psql", "-qAtX", "-U", "postgres", stdin=script)
    except ComposeError:
        return [], 0
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    available = max((database["available"] for database in found), default=0)
    return [DatabaseRow(**database["row"]) for database in found], available


def _redis(engine: Engine, *command: str) -> Any:
    """Run one command; return None if the server rejects it or does not respond."""
    try:
        return json.loads(engine.run("exec", "-T", "redis", "redis-cli", "--json", *command))
    except (ComposeError, ValueError):
        return None
