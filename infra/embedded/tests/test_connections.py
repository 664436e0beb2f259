"""The sum of connections of all processes of a stack, and PgBouncer in front of PostgreSQL."""

import asyncio
import os
from pathlib import Path

import pytest

from embedded import lifecycle, pgbouncer, processes
from embedded.connections import DIRECT, WORKERS, budget
from embedded.environment import worker_count
from embedded.errors import EmbeddedError, MissingToolError
from embedded.stack import Stack
from shared.connections import RESERVE, SUPERUSER_RESERVED
from testkit.servers import require_pgbouncer


@pytest.fixture
def created(stack: Stack) -> Stack:
    stack.create()
    return stack


class TestConnectionBudget:
    def test_default_settings_fit_the_default_of_postgresql(self, created: Stack) -> None:
        table = processes.table(created, {})
        assert str(table.connections) == (
            "users 11 + orders 11 + notifications 10 + worker 10 + report-worker 10 + reserve 20 = 72 of 97"
        )
        assert "max_connections=100" in table.selected(["postgres"])[0].command

    @pytest.mark.parametrize(("concurrency", "pool"), [("4", "10"), ("4", "20"), ("auto", "10"), ("64", "100")])
    def test_postgres_allows_the_sum_when_it_exceeds_the_default(
        self, created: Stack, concurrency: str, pool: str
    ) -> None:
        caller = {"WEB_CONCURRENCY": concurrency, "DATABASE_POOL_SIZE": pool}
        processes_per_service = int(worker_count(concurrency))
        services = processes_per_service * (3 * int(pool) + len(DIRECT))
        workers = len(WORKERS) * int(pool)
        needed = services + workers + RESERVE
        connections = processes.table(created, caller).connections
        assert (connections.needed, connections.available) == (
            needed,
            max(processes.MIN_MAX_CONNECTIONS - SUPERUSER_RESERVED, needed),
        )

    def test_start_is_rejected_with_the_settings_to_change_when_the_sum_exceeds_the_limit(self, created: Stack) -> None:
        caller = {"POSTGRES_MAX_CONNECTIONS": str(71 + SUPERUSER_RESERVED), "HOPLINE_HOME": str(created.home)}
        with pytest.raises(EmbeddedError) as rejected:
            asyncio.run(lifecycle.up(created, caller, only=[], seconds=1))
        assert "report-worker 10 + reserve 20 = 72 of 71" in str(rejected.value)
        for setting in ("WEB_CONCURRENCY", "DATABASE_POOL_SIZE", "DATABASE_RESERVE", "POSTGRES_MAX_CONNECTIONS"):
            assert setting in str(rejected.value)

    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_limit_is_rejected_when_it_is_not_a_positive_whole_number(self, created: Stack, value: str) -> None:
        with pytest.raises(EmbeddedError, match=f"POSTGRES_MAX_CONNECTIONS={value}: expected a whole number"):
            processes.table(created, {"POSTGRES_MAX_CONNECTIONS": value})

    def test_program_is_counted_twice_when_it_runs_twice(self) -> None:
        twice = budget([("orders", {}), ("orders", {"DATABASE_POOL_SIZE": "10"})], available=50)
        scaled = budget([("orders", {})], available=50, copies={"orders": 2})
        assert str(twice) == str(scaled) == "orders 22 + reserve 20 = 42 of 50"

    def test_each_process_is_counted_with_its_own_pool_when_replicas_differ(self) -> None:
        replicas = [("orders", {"DATABASE_POOL_SIZE": size}) for size in ("30", "10", "30")]
        connections = budget(replicas, available=80)
        assert str(connections) == "orders 62 + orders 11 + reserve 20 = 93 of 80"
        assert "orders: 2 processes × (30 pool + 0 overflow + 1 direct); orders: 1 process" in connections.problem()


class TestPgBouncer:
    @pytest.fixture(autouse=True)
    def require_program(self) -> None:
        require_pgbouncer()

    def test_pgbouncer_replaces_the_pools_in_the_sum(self, created: Stack) -> None:
        table = processes.table(created, {"HOPLINE_PGBOUNCER": "1", "PGBOUNCER_POOL_SIZE": "5"})
        assert str(table.connections) == "pgbouncer 20 + users 1 + orders 1 + reserve 20 = 42 of 97"
        [orders] = [process for process in table.processes if process.name == "orders"]
        port = created.port("pgbouncer")
        assert orders.environment["DATABASE_POOLER_URL"] == f"postgresql://127.0.0.1:{port}?sslmode=disable"
        assert "pgbouncer" in {process.name for process in table.selected(["orders"])}

    def test_files_of_pgbouncer_are_readable_only_by_its_account(self, created: Stack) -> None:
        processes.table(created, {"HOPLINE_PGBOUNCER": "1"})
        folder = Path(created.home / "pgbouncer").resolve()
        password = (created.secrets / "postgres-orders").read_text()
        assert f'"orders" "{password}"' in (folder / "userlist.txt").read_text()
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
        owners = {file.stat().st_uid for file in folder.iterdir()}
        if os.geteuid() == 0:
            assert 0 not in owners
        else:
            assert owners == {os.geteuid()}

    def test_unchanged_files_of_pgbouncer_are_not_written(self, created: Stack) -> None:
        processes.table(created, {"HOPLINE_PGBOUNCER": "1"})
        files = list(Path(created.home / "pgbouncer").resolve().iterdir())
        for file in files:
            os.utime(file, ns=(0, 0))
        processes.table(created, {"HOPLINE_PGBOUNCER": "1"})
        assert {file.stat().st_mtime_ns for file in files} == {0}


class TestMissingPgBouncer:
    def test_error_names_the_package_when_pgbouncer_is_missing(
        self, created: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(created.home))
        monkeypatch.setattr(pgbouncer, "SYSTEM_FOLDERS", str(created.home))
        with pytest.raises(MissingToolError, match="apt install pgbouncer"):
            processes.table(created, {"HOPLINE_PGBOUNCER": "1"})
        assert processes.table(created, {}).processes


class TestPgBouncerVariable:
    @pytest.mark.parametrize("value", ["yes", "2", "-1"])
    def test_value_other_than_0_and_1_is_rejected(self, created: Stack, value: str) -> None:
        with pytest.raises(EmbeddedError, match=f"HOPLINE_PGBOUNCER={value}: expected 0 or 1"):
            processes.table(created, {"HOPLINE_PGBOUNCER": value})
