import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Docker = Any  # the conftest's, which importlib mode does not let a test import
Run = Callable[..., Any]
WELL: dict[str, dict[str, Any]] = {
    "postgres": {},
    "migrate-orders": {"State": "exited", "Health": ""},
    "orders": {},
    "gateway": {},
}


class TestUp:
    def test_starts_everything_and_says_where_it_is(self, docker: Docker, run: Run) -> None:
        docker.containers({}, {}, {**WELL, "gateway": {"Health": "starting"}}, WELL)
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

    def test_builds_and_creates_the_databases_before_the_services(self, docker: Docker, run: Run) -> None:
        docker.containers({}, {}, WELL)
        run("up", "--scale", "orders=2")
        commands = [call.removeprefix("compose ") for call in docker.called if call.startswith("compose ")]
        order = [
            "build --quiet",
            "up --detach --no-build --wait postgres",
            "exec -T postgres sh /docker-entrypoint-initdb.d/databases.sh",
            "up --detach --no-build --scale orders=2",
        ]
        assert [command for command in commands if command in order] == order

    def test_fetches_what_it_is_not_to_build(self, docker: Docker, run: Run) -> None:
        docker.containers({}, {}, WELL)
        run("up", "--no-build", "--only", "gateway")
        assert "compose pull --quiet --policy missing --include-deps gateway" in docker.called
        assert not any(call.startswith("compose build") for call in docker.called)

    def test_builds_what_it_starts_and_nothing_else(self, docker: Docker, run: Run) -> None:
        docker.containers({}, {}, WELL)
        run("up", "--only", "gateway")
        run("up", "--only", "orders")
        built = [call for call in docker.called if call.startswith("compose build")]
        assert built == ["compose build --quiet gateway orders", "compose build --quiet orders"]

    def test_generates_secrets_that_only_the_owner_reaches(self, docker: Docker, run: Run, tmp_path: Path) -> None:
        docker.containers({}, {}, WELL)
        run("up")
        folder = tmp_path / "home" / "secrets" / "compose-4300"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}
        password = (folder / "postgres-orders").read_text()
        assert (folder / "database-url-orders").read_text() == f"postgresql://orders:{password}@postgres:5432/orders"
        before = {file.name: file.read_text() for file in folder.iterdir()}
        run("up")
        assert {file.name: file.read_text() for file in folder.iterdir()} == before

    def test_names_what_failed_with_its_last_words(self, docker: Docker, run: Run) -> None:
        broken = {**WELL, "orders": {"State": "restarting", "ExitCode": 4}}
        docker.containers({}, {}, broken)
        record = {"timestamp": "t", "level": "error", "event": "no_database", "host": "postgres"}
        docker.answer("compose logs", f"\x1b[2K{json.dumps(record)}\n")
        done = run("up")
        assert done.returncode == 1
        assert "orders did not start: it ended and is being restarted" in done.stderr
        assert "error: no_database host=postgres" in done.stderr
        assert "compose down" in docker.called

    def test_names_why_postgres_did_not_start(self, docker: Docker, run: Run) -> None:
        docker.containers({}, {"postgres": {"State": "restarting", "ExitCode": 127}})
        docker.answer("compose up --detach --no-build --wait", status=1, error="container is unhealthy")
        docker.answer("compose logs", "initdb: no space left\n")
        done = run("up")
        assert done.returncode == 1
        assert "postgres did not start: it ended and is being restarted" in done.stderr
        assert "initdb: no space left" in done.stderr

    def test_logs_reach_the_terminal_without_control_characters(self, docker: Docker, run: Run) -> None:
        docker.containers(WELL)
        docker.answer("compose logs", "orders-1 | \x1b]0;owned\x07\u202e text\n")
        done = run("logs", "orders")
        assert done.returncode == 0
        assert done.stdout == "orders-1 | \\u001b]0;owned\\u0007\\u202e text\n"

    def test_leaves_running_what_ran_before(self, docker: Docker, run: Run) -> None:
        docker.containers(WELL)
        docker.answer("compose build", status=17, error="no space left on device")
        done = run("up")
        assert done.returncode == 1
        assert "no space left on device" in done.stderr
        assert "compose down" not in docker.called

    def test_a_taken_port_is_one_clear_line(self, docker: Docker, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 12_301)):  # none that the tests running beside this one need
            done = run("up", "--only", "gateway", HOPLINE_PORT_OFFSET="4301")
        assert done.returncode == 1
        assert done.stderr.startswith("port 12301 is taken")
        assert "HOPLINE_PORT_OFFSET" in done.stderr
        assert not any(call.startswith("compose up") for call in docker.called)

    def test_an_unknown_service_is_named(self, run: Run) -> None:
        assert "no service 'payments': there are postgres" in run("up", "--only", "payments").stderr


class TestEngine:
    def test_without_docker_it_names_the_other_mode(self, run: Run, tmp_path: Path) -> None:
        done = run("up", PATH=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr == "the command docker is missing: install Docker, or run `make up MODE=embedded`\n"

    def test_an_engine_that_does_not_answer_is_told(self, docker: Docker, run: Run) -> None:
        docker.answer("version", status=1, error="Cannot connect to the Docker daemon\n")
        assert "no Docker engine answers: start it" in run("status").stderr

    @pytest.mark.parametrize("version", ["2.23.3", "1.29.2", "v2.20.0-desktop.1"])
    def test_a_compose_that_is_too_old_is_told(self, docker: Docker, run: Run, version: str) -> None:
        docker.answer("compose version", version)
        done = run("up")
        assert done.returncode == 1
        assert "is too old: install 2.24 or newer" in done.stderr
