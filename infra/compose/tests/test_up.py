import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compose.project import from_environment

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]
ALL_READY: dict[str, dict[str, Any]] = {
    "postgres": {},
    "migrate-orders": {"State": "exited", "Health": ""},
    "orders": {},
    "gateway": {},
}


class TestUp:
    def test_up_starts_all_services_and_prints_the_addresses(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({}, {}, {**ALL_READY, "gateway": {"Health": "starting"}}, ALL_READY)
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

    def test_up_builds_and_creates_the_databases_before_the_services(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({}, {}, ALL_READY)
        run("up", "--scale", "orders=2")
        commands = [call.removeprefix("compose ") for call in docker.called if call.startswith("compose ")]
        order = [
            "build --quiet",
            "up --detach --no-build --wait postgres",
            "exec -T postgres sh /docker-entrypoint-initdb.d/databases.sh",
            "up --detach --no-build --scale orders=2",
        ]
        assert [command for command in commands if command in order] == order

    def test_images_are_pulled_when_build_is_disabled(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({}, {}, ALL_READY)
        run("up", "--no-build", "--only", "gateway")
        assert "compose pull --quiet --policy missing --include-deps gateway" in docker.called
        assert not any(call.startswith("compose build") for call in docker.called)

    def test_up_builds_only_the_images_of_the_started_services(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({}, {}, ALL_READY)
        run("up", "--only", "gateway")
        run("up", "--only", "orders")
        built = [call for call in docker.called if call.startswith("compose build")]
        assert built == ["compose build --quiet gateway orders", "compose build --quiet orders"]

    def test_secrets_are_generated_and_readable_only_by_the_owner(
        self, docker: FakeDocker, run: Run, tmp_path: Path
    ) -> None:
        docker.containers({}, {}, ALL_READY)
        run("up")
        folder = tmp_path / "home" / "secrets" / "compose-4300"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}
        password = (folder / "postgres-orders").read_text()
        assert (folder / "database-url-orders").read_text() == f"postgresql://orders:{password}@postgres:5432/orders"
        before = {file.name: file.read_text() for file in folder.iterdir()}
        run("up")
        assert {file.name: file.read_text() for file in folder.iterdir()} == before

    def test_failed_container_is_named_with_its_last_log_lines(self, docker: FakeDocker, run: Run) -> None:
        broken = {**ALL_READY, "orders": {"State": "restarting", "ExitCode": 4}}
        docker.containers({}, {}, broken)
        record = {"timestamp": "t", "level": "error", "event": "no_database", "host": "postgres"}
        docker.respond("compose logs", f"\x1b[2K{json.dumps(record)}\n")
        done = run("up")
        assert done.returncode == 1
        assert "orders did not start: it ended and is being restarted" in done.stderr
        assert "error: no_database host=postgres" in done.stderr
        assert "compose down" in docker.called

    def test_error_has_the_log_when_postgres_does_not_start(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({}, {"postgres": {"State": "restarting", "ExitCode": 127}})
        docker.respond("compose up --detach --no-build --wait", status=1, error="container is unhealthy")
        docker.respond("compose logs", "initdb: no space left\n")
        done = run("up")
        assert done.returncode == 1
        assert "postgres did not start: it ended and is being restarted" in done.stderr
        assert "initdb: no space left" in done.stderr

    def test_logs_reach_the_terminal_without_control_characters(self, docker: FakeDocker, run: Run) -> None:
        docker.containers(ALL_READY)
        docker.respond("compose logs", "orders-1 | \x1b]0;owned\x07\u202e text\n")
        done = run("logs", "orders")
        assert done.returncode == 0
        assert done.stdout == "orders-1 | \\u001b]0;owned\\u0007\\u202e text\n"

    def test_logs_end_without_an_error_when_the_reader_closes_the_pipe(self, docker: FakeDocker, run: Run) -> None:
        docker.respond("compose logs", "orders-1 | text\n" * 10_000)
        reader, writer = os.pipe()
        os.close(reader)
        done = run("logs", stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")

    def test_running_services_stay_when_the_build_fails(self, docker: FakeDocker, run: Run) -> None:
        docker.containers(ALL_READY)
        docker.respond("compose build", status=17, error="no space left on device")
        done = run("up")
        assert done.returncode == 1
        assert "no space left on device" in done.stderr
        assert "compose down" not in docker.called

    def test_taken_port_is_reported_in_one_line(self, docker: FakeDocker, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 12_301)):  # a port that no parallel test uses
            done = run("up", "--only", "gateway", HOPLINE_PORT_OFFSET="4301")
        assert done.returncode == 1
        assert done.stderr.startswith("port 12301 is taken")
        assert "HOPLINE_PORT_OFFSET" in done.stderr
        assert not any(call.startswith("compose up") for call in docker.called)

    def test_replicas_that_exceed_the_connections_are_rejected_before_anything_starts(
        self, docker: FakeDocker, run: Run
    ) -> None:
        done = run("up", "--scale", "orders=4")
        assert done.returncode == 1
        assert "orders 88 + reserve 20 = 108 of 97" in done.stderr
        assert "POSTGRES_MAX_CONNECTIONS" in done.stderr
        assert not any(call.startswith(("compose build", "compose up")) for call in docker.called)

    def test_pgbouncer_is_configured_from_the_secrets(self, docker: FakeDocker, run: Run, tmp_path: Path) -> None:
        services = {**json.loads(docker.responses["compose config"]["outputs"][0])["services"]}
        services["pgbouncer"] = {"environment": {"PGBOUNCER_POOL_SIZE": "4"}}
        docker.respond("compose config", json.dumps({"services": services}))
        docker.containers({}, {}, ALL_READY)
        run("up", HOPLINE_PGBOUNCER="1")
        folder = tmp_path / "home" / "secrets" / "compose-4300"
        ini = (folder / "pgbouncer-ini").read_text().splitlines()
        assert "orders = host=postgres port=5432 dbname=orders" in ini
        assert "default_pool_size = 4" in ini
        password = (folder / "postgres-orders").read_text()
        assert f'"orders" "{password}"' in (folder / "pgbouncer-userlist").read_text()

    @pytest.mark.parametrize("value", ["many", "0", "-1"])
    def test_invalid_number_is_rejected_with_the_name_of_its_setting(
        self, docker: FakeDocker, run: Run, value: str
    ) -> None:
        services = json.loads(docker.responses["compose config"]["outputs"][0])["services"]
        services["pgbouncer"] = {"environment": {"PGBOUNCER_POOL_SIZE": value}}
        docker.respond("compose config", json.dumps({"services": services}))
        assert run("up").stderr == f"PGBOUNCER_POOL_SIZE={value}: expected a whole number from 1\n"
        services["postgres"]["command"] = ["postgres", f"--max_connections={value}"]
        docker.respond("compose config", json.dumps({"services": services}))
        assert run("up").stderr == f"POSTGRES_MAX_CONNECTIONS={value}: expected a whole number from 1\n"

    @pytest.mark.parametrize(("value", "profiles"), [("1", "load,pgbouncer"), ("0", "load"), ("", "load")])
    def test_pgbouncer_is_enabled_by_its_profile_and_replaces_the_address_of_the_pools(
        self, tmp_path: Path, value: str, profiles: str
    ) -> None:
        caller = {"HOPLINE_HOME": str(tmp_path), "HOPLINE_PGBOUNCER": value, "COMPOSE_PROFILES": "load"}
        environment = from_environment(caller).environment(caller)
        assert environment["COMPOSE_PROFILES"] == profiles
        address = environment.get("DATABASE_POOLER_URL", "")
        assert address == ("postgresql://pgbouncer:6432?sslmode=disable" if value == "1" else "")

    def test_list_is_read_again_when_a_container_was_removed_meanwhile(self, docker: FakeDocker, run: Run) -> None:
        docker.containers(
            {}, {}, ALL_READY, failures=2, error="Error response from daemon: No such container: 61a5e0f1"
        )
        done = run("up")
        assert done.returncode == 0, done.stderr

    def test_unknown_service_is_rejected(self, run: Run) -> None:
        assert "no service 'payments': there are postgres" in run("up", "--only", "payments").stderr


class TestEngine:
    def test_error_names_the_embedded_mode_when_docker_is_missing(self, run: Run, tmp_path: Path) -> None:
        done = run("up", PATH=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr == "the command docker is missing: install Docker, or run `make up MODE=embedded`\n"

    def test_unavailable_engine_is_reported(self, docker: FakeDocker, run: Run) -> None:
        docker.respond("version", status=1, error="Cannot connect to the Docker daemon\n")
        assert "no Docker engine responds: start it" in run("status").stderr

    @pytest.mark.parametrize("version", ["2.23.3", "1.29.2", "v2.20.0-desktop.1"])
    def test_old_compose_is_rejected(self, docker: FakeDocker, run: Run, version: str) -> None:
        docker.respond("compose version", version)
        done = run("up")
        assert done.returncode == 1
        assert "is too old: install 2.24 or newer" in done.stderr
