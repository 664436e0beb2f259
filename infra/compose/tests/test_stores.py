"""What `make status` asks the databases, asked of real ones by psql, as in their container."""

import re
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from compose.engine import Engine
from compose.stores import databases
from embedded.postgres import bundled_programs

JOB = """INSERT INTO job (id, kind, dedupe_key, payload, state, finished_at)
    VALUES (gen_random_uuid(), 'k', $1, '{}', $2::text, CASE $2::text WHEN 'done' THEN now() END)"""
LETTER = """INSERT INTO dead_letter (consumer, stream, entry_id, body, error, attempts, replayed_at)
    VALUES ('workers', 's', $1, '', 'e', 1, $2::text::timestamptz)"""


@dataclass(frozen=True)
class Beside(Engine):
    """Runs the psql of a container on this machine, each service's database under the name it has here."""

    urls: dict[str, str]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        beginning = ("exec", "-T", "postgres", "psql")
        assert arguments[: len(beginning)] == beginning
        options = [option for option in arguments[len(beginning) :] if option not in {"-U", "postgres"}]
        script = re.sub(r"(?m)^\\connect (\w+)$", lambda found: f"\\connect {self.urls[found[1]]}", stdin or "")
        psql = [str(bundled_programs() / "bin" / "psql"), *options, self.urls["users"]]
        return subprocess.run(psql, input=script, capture_output=True, text=True, check=True).stdout


@pytest.fixture
async def engine(database: str, migrated_database: Callable[[str], Awaitable[str]]) -> Beside:
    """Those of orders and workers are migrated, the others empty."""
    orders, workers = await migrated_database("orders"), await migrated_database("workers")
    urls = {"users": database, "orders": orders, "notifications": database, "workers": workers}
    return Beside({}, urls)


class TestDatabases:
    async def test_count_what_is_not_done_and_leave_out_what_a_service_does_not_have(self, engine: Beside) -> None:
        workers = await asyncpg.connect(engine.urls["workers"])
        await workers.executemany(JOB, [("a", "done"), ("b", "queued"), ("c", "done")])
        await workers.executemany(LETTER, [("1-0", None), ("2-0", "2026-11-26T00:00Z"), ("3-0", None)])
        await workers.close()
        found, limit = databases(engine, {})
        assert [(one.name, one.outbox, one.dead_letters, one.jobs) for one in found] == [
            ("users", None, None, None),
            ("orders", 0, None, None),
            ("notifications", None, None, None),
            ("workers", None, 2, {"done": 2, "queued": 1}),
        ]
        assert all(one.size_bytes > 1 << 20 and one.connections > 0 for one in found)
        assert limit >= 100
