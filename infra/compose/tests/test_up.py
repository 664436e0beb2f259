import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]
NOTHING: dict[str, dict[str, Any]] = {}
ALL_READY: dict[str, dict[str, Any]] = {
    "postgres": {},
    "migrate-orders": {"State": "exited", "Health": ""},
    "orders": {},
    "gateway": {},
}


@pytest.fixture
def startable(docker: FakeDocker) -> FakeDocker:
    """An engine without containers, on which every service becomes ready."""
    list_during_up(docker, ALL_READY)
    return docker


def list_during_up(docker: FakeDocker, *listings: dict[str, dict[str, Any]], **options: Any) -> None:
    """Make `compose ps` list these containers after the start, one listing for each call.

    `up` lists the containers twice before the start: to find out whether Hopline runs, and to ignore old containers.
    """
    docker.list_containers(NOTHING, NOTHING, *listings, **options)


class TestUp:
    def test_up_starts_all_services_and_prints_the_addresses(self, docker: FakeDocker, run: Run) -> None:
        list_during_up(docker, {**ALL_READY, "gateway": {"Health": "starting"}}, ALL_READY)
        done = run("up")
        assert done.returncode == 0, done.stderr
        lines = [line.split()[:2] for line in done.stdout.splitlines()]
        assert [line for line in lines if line[1] in {"built", "ready", "done"}] == [
            ["images", "built"],
            ["postgres", "ready"],
            ["migrate-orders", "done"],
            ["orders", "ready"],
            ["gateway", "ready"],
        ]
        assert "http://localhost:12300/v2/docs" in done.stdout

    def test_up_builds_and_creates_the_databases_before_the_services(self, startable: FakeDocker, run: Run) -> None:
        run("up", "--scale", "orders=2")
        commands = [call.removeprefix("compose ") for call in startable.calls if call.startswith("compose ")]
        order = [
            "build --quiet gateway orders",
            "up --detach --no-build --wait postgres",
            "exec -T postgres sh /docker-entrypoint-initdb.d/databases.sh",
            "up --detach --no-build --scale orders=2",
        ]
        assert [command for command in commands if command in order] == order

    def test_up_pulls_the_images_when_building_is_disabled(self, startable: FakeDocker, run: Run) -> None:
        run("up", "--no-build", "--only", "gateway")
        assert "compose pull --quiet --policy missing --include-deps gateway" in startable.calls
        assert not any(call.startswith("compose build") for call in startable.calls)

    def test_up_builds_only_the_images_of_the_started_services(self, startable: FakeDocker, run: Run) -> None:
        run("up", "--only", "gateway")
        run("up", "--only", "orders")
        run("up", "--only", "postgres")
        built = [call for call in startable.calls if call.startswith("compose build")]
        assert built == ["compose build --quiet gateway orders", "compose build --quiet orders"]

    def test_up_ignores_a_stopped_container_of_a_service_that_it_does_not_start(
        self, docker: FakeDocker, run: Run
    ) -> None:
        list_during_up(docker, {**ALL_READY, "locust": {"State": "exited", "ExitCode": 137}})
        done = run("up")
        assert done.returncode == 0, done.stderr

    def test_up_generates_secrets_once_in_a_folder_of_the_owner(
        self, startable: FakeDocker, run: Run, tmp_path: Path
    ) -> None:
        run("up")
        folder = tmp_path / "home" / "secrets" / "compose-4300"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}
        password = (folder / "postgres-orders").read_text()
        assert (folder / "database-url-orders").read_text() == f"postgresql://orders:{password}@postgres:5432/orders"
        before = {file.name: file.read_text() for file in folder.iterdir()}
        run("up")
        assert {file.name: file.read_text() for file in folder.iterdir()} == before

    def test_up_fails_with_the_last_log_records_of_a_service_that_restarts(self, docker: FakeDocker, run: Run) -> None:
        list_during_up(docker, {**ALL_READY, "orders": {"State": "restarting", "ExitCode": 4}})
        record = {"timestamp": "t", "level": "error", "event": "no_database", "host": "postgres"}
        docker.respond("compose logs", f"\x1b[2K{json.dumps(record)}\n")
        done = run("up")
        assert done.returncode == 1
        assert "orders did not start: it ended and is being restarted" in done.stderr
        assert "error: no_database host=postgres" in done.stderr
        assert "compose down" in docker.calls

    def test_up_fails_with_the_log_of_postgres_when_it_does_not_start(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers(NOTHING, {"postgres": {"State": "restarting", "ExitCode": 127}})
        docker.respond("compose up --detach --no-build --wait", status=1, error="container is unhealthy")
        docker.respond("compose logs", "initdb: no space left\n")
        done = run("up")
        assert done.returncode == 1
        assert "postgres did not start: it ended and is being restarted" in done.stderr
        assert "initdb: no space left" in done.stderr

    def test_up_stops_no_service_when_the_build_fails(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers(ALL_READY)
        docker.respond("compose build", status=17, error="no space left on device")
        done = run("up")
        assert done.returncode == 1
        assert "no space left on device" in done.stderr
        assert "compose down" not in docker.calls

    def test_up_starts_nothing_when_a_port_is_taken(self, docker: FakeDocker, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 12_301)):  # a port that no parallel test uses
            done = run("up", "--only", "gateway", HOPLINE_PORT_OFFSET="4301")
        assert done.returncode == 1
        assert done.stderr.startswith("port 12301 is taken")
        assert "HOPLINE_PORT_OFFSET" in done.stderr
        assert not any(call.startswith("compose up") for call in docker.calls)

    def test_up_starts_nothing_when_the_replicas_exceed_the_connections(self, docker: FakeDocker, run: Run) -> None:
        done = run("up", "--scale", "orders=4")
        assert done.returncode == 1
        needed = 4 * 2 * (10 + 1)  # replicas × worker processes × (pool and relay)
        assert f"orders {needed} + reserve 20 = {needed + 20} of 97" in done.stderr
        assert "POSTGRES_MAX_CONNECTIONS" in done.stderr
        assert not any(call.startswith(("compose build", "compose up")) for call in docker.calls)

    def test_up_writes_the_configuration_of_pgbouncer_with_the_secrets(
        self, startable: FakeDocker, run: Run, tmp_path: Path
    ) -> None:
        startable.configure_services(pgbouncer={"environment": {"PGBOUNCER_POOL_SIZE": "4"}})
        run("up", HOPLINE_PGBOUNCER="1")
        folder = tmp_path / "home" / "secrets" / "compose-4300"
        ini = (folder / "pgbouncer-ini").read_text().splitlines()
        assert "orders = host=postgres port=5432 dbname=orders" in ini
        assert "default_pool_size = 4" in ini
        password = (folder / "postgres-orders").read_text()
        assert f'"orders" "{password}"' in (folder / "pgbouncer-userlist").read_text()

    @pytest.mark.parametrize("value", ["many", "0", "-1"])
    def test_up_rejects_an_invalid_pool_size_of_pgbouncer(self, docker: FakeDocker, run: Run, value: str) -> None:
        docker.configure_services(pgbouncer={"environment": {"PGBOUNCER_POOL_SIZE": value}})
        assert run("up").stderr == f"PGBOUNCER_POOL_SIZE={value}: expected a whole number from 1\n"

    @pytest.mark.parametrize("value", ["many", "0", "-1"])
    def test_up_rejects_an_invalid_number_of_connections(self, docker: FakeDocker, run: Run, value: str) -> None:
        docker.configure_services(postgres={"command": ["postgres", f"--max_connections={value}"]})
        assert run("up").stderr == f"POSTGRES_MAX_CONNECTIONS={value}: expected a whole number from 1\n"

    def test_up_lists_the_containers_again_when_one_was_removed_meanwhile(self, docker: FakeDocker, run: Run) -> None:
        list_during_up(docker, ALL_READY, failures=2, error="Error response from daemon: No such container: 61a5e0f1")
        done = run("up")
        assert done.returncode == 0, done.stderr

    def test_up_rejects_an_unknown_service(self, run: Run) -> None:
        assert "unknown service 'payments': expected one of postgres, " in run("up", "--only", "payments").stderr
