"""`databases` reads the view `operator_status` of each database with psql, as in the container of PostgreSQL."""

import re
import subprocess
from dataclasses import dataclass

import asyncpg
import pytest

from compose.engine import Engine
from compose.stores import databases
from embedded.postgres import bundled_programs
from embedded.status import ScheduleStatus, schedules_of
from testkit.databases import MigratedDatabase

INSERT_JOB = """INSERT INTO job (id, kind, dedupe_key, payload, state, finished_at)
    VALUES (gen_random_uuid(), 'k', $1, '{}', $2::text, CASE $2::text WHEN 'done' THEN now() END)"""
INSERT_EVENT = """INSERT INTO outbox (id, pub_seq, source, type, subject, time, data)
    VALUES (gen_random_uuid(), $1, 's', 't', 's', now(), '{}')"""
INSERT_SCHEDULE = """INSERT INTO schedule (name, cron, last_slot, next_slot, last_job_id)
    SELECT 'daily', '0 6 * * *', '2026-11-25T06:00Z', '2026-11-26T06:00Z', id FROM job WHERE dedupe_key = 'a'"""
INSERT_DEAD_LETTER = """INSERT INTO dead_letter (consumer, stream, entry_id, body, error, attempts, replayed_at)
    VALUES ('workers', 's', $1, '', 'e', 1, $2::text::timestamptz)"""


@dataclass(frozen=True)
class LocalEngine(Engine):
    """Runs psql on this machine instead of in a container, with the names of the test databases."""

    urls: dict[str, str]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        prefix = ("exec", "-T", "postgres", "psql")
        assert arguments[: len(prefix)] == prefix
        options = [option for option in arguments[len(prefix) :] if option not in {"-U", "postgres"}]
        script = re.sub(r"(?m)^\\connect (\w+)$", lambda found: f"\\connect {self.urls[found[1]]}", stdin or "")
        psql = [str(bundled_programs() / "bin" / "psql"), *options, self.urls["users"]]
        return subprocess.run(psql, input=script, capture_output=True, text=True, check=True).stdout


@pytest.fixture
async def engine(database: str, migrated_database: MigratedDatabase) -> LocalEngine:
    """An engine whose databases are migrated, except that of users."""
    migrated = {name: await migrated_database(name) for name in ("orders", "notifications", "workers")}
    return LocalEngine({}, {"users": database, **migrated})


class TestDatabases:
    async def test_databases_returns_the_status_of_each_migrated_database(self, engine: LocalEngine) -> None:
        workers = await asyncpg.connect(engine.urls["workers"])
        await workers.executemany(INSERT_JOB, [("a", "done"), ("b", "queued"), ("c", "done")])
        await workers.executemany(INSERT_DEAD_LETTER, [("1-0", None), ("2-0", "2026-11-26T00:00Z"), ("3-0", None)])
        await workers.execute(INSERT_SCHEDULE)
        await workers.close()
        orders = await asyncpg.connect(engine.urls["orders"])
        await orders.execute("INSERT INTO outbox_floor (seq) VALUES (4)")
        await orders.executemany(INSERT_EVENT, [(None,), (5,), (6,)])
        await orders.close()
        rows, limit = databases(engine)
        found = [row.describe(last_entry=5 if row.name == "orders" else 0) for row in rows]
        assert [(store.name, store.outbox, store.dead_letters, store.jobs) for store in found] == [
            ("users", None, None, None),
            ("orders", 2, None, None),
            ("notifications", None, 0, None),
            ("workers", None, 2, {"done": 2, "queued": 1}),
        ]
        assert rows[1].describe(last_entry=0).outbox == 3, (
            "an empty stream misses only the events above the low-water mark"
        )
        assert schedules_of(rows) == [ScheduleStatus("daily", "2026-11-25T06:00Z", "done", "2026-11-26T06:00Z")]
        assert all(store.size_bytes > 1 << 20 and store.connections > 0 for store in found)
        assert limit >= 100

    async def test_databases_counts_no_events_when_the_outbox_is_empty(
        self, engine: LocalEngine, migrated_database: MigratedDatabase
    ) -> None:
        engine.urls["users"] = await migrated_database("users")
        rows, _ = databases(engine)
        assert rows[0].describe(last_entry=0).outbox == 0
