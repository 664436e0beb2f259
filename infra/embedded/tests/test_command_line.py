"""The public commands with real processes. Most tests start no more than the stores and the observatory."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import psutil
import pytest

from embedded import orphans
from embedded.stack import MARKER, ROOT, Stack
from embedded.supervisor import Supervisor
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("own-stack")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """`python -m embedded` for one stack."""

    stack: Stack

    async def run(self, *arguments: str, **environment: str) -> Result:
        own = {"HOPLINE_HOME": str(self.stack.home), "HOPLINE_PORT_OFFSET": str(self.stack.offset)}
        command = [sys.executable, "-m", "embedded", *arguments]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=PIPE, env={**os.environ, **own, **environment}
        )
        out, err = await asyncio.wait_for(process.communicate(), 300)
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    async def processes(self) -> dict[str, dict[str, Any]]:
        status = json.loads((await self.run("status", "--json")).out)
        return {process["name"]: process for process in status["processes"]}


@pytest.fixture
async def cli(stack: Stack) -> AsyncIterator[CommandLine]:
    command_line = CommandLine(stack)
    yield command_line
    assert (await command_line.run("clean")).code == 0


STANDALONE = ("postgres", "valkey", "observatory")
ONLY_STANDALONE = ("--only", ",".join(STANDALONE))
WITHOUT_POSTGRES = ("--only", "valkey,observatory")
NOT_RUNNING = 3
"""The exit code of `status` if something is not running."""


class TestUp:
    async def test_processes_run_until_down_and_restart_when_they_are_killed(
        self, cli: CommandLine, stack: Stack
    ) -> None:
        up = await cli.run("up", *ONLY_STANDALONE)
        assert up.code == 0, up.err
        assert f"http://localhost:{stack.port('jaeger')}" in up.out

        again = await cli.run("up", *ONLY_STANDALONE)
        assert again.code == 0
        assert "already up" in again.out

        before = Supervisor(stack).states()
        for name in STANDALONE:
            os.kill(before[name].pid, signal.SIGKILL)

        def are_back() -> bool:
            now = Supervisor(stack).states()
            return all(now[name].state == "RUNNING" and now[name].pid != before[name].pid for name in STANDALONE)

        await eventually(are_back)
        now = await cli.processes()
        assert [now[name]["restarts"] for name in STANDALONE] == [1, 1, 1]
        assert all(now[name]["memory_bytes"] > 0 for name in STANDALONE)

        down = await cli.run("down")
        assert down.code == 0
        assert orphans.find(stack) == []
        assert (stack.home / "postgres" / "data").exists()
        assert "not running" in (await cli.run("down")).out

    async def test_workers_that_a_gunicorn_master_replaced_are_counted(self, cli: CommandLine, stack: Stack) -> None:
        for _ in range(2):  # the second start counts from zero
            up = await cli.run("up", "--only", "users")
            assert up.code == 0, up.err
            before = (await cli.processes())["users"]
            assert before["restarts"] == 0
            [worker] = psutil.Process(before["pid"]).children()
            worker.kill()

            async def is_counted(master: int = before["pid"]) -> bool:
                now = (await cli.processes())["users"]
                return (now["pid"], now["restarts"]) == (master, 1)

            await eventually(is_counted)
            assert (await cli.run("down")).code == 0

    async def test_taken_port_stops_the_start_and_leaves_nothing_running(self, cli: CommandLine, stack: Stack) -> None:
        with socket.create_server(("127.0.0.1", stack.port("jaeger"))):
            up = await cli.run("up", *WITHOUT_POSTGRES)
        assert up.code == 1
        [line] = up.err.splitlines()
        assert line.startswith(f"port {stack.port('jaeger')} is taken by ")
        assert orphans.find(stack) == []

    async def test_failed_process_is_shown_with_its_log_and_the_others_are_stopped(
        self, cli: CommandLine, stack: Stack
    ) -> None:
        up = await cli.run("up", *WITHOUT_POSTGRES, OBSERVATORY_MAX_TRACES="lots")
        assert up.code == 1
        assert up.err.startswith("observatory did not start: it ended")
        assert "OBSERVATORY_MAX_TRACES" in up.err
        assert orphans.find(stack) == []

    async def test_changed_source_restarts_the_service_when_reloading(self, cli: CommandLine, stack: Stack) -> None:
        up = await cli.run("up", "--only", "users", HOPLINE_RELOAD="users")
        assert up.code == 0, up.err
        reloader = psutil.Process(Supervisor(stack).states()["users"].pid)
        before = {child.pid for child in reloader.children()}

        (ROOT / "services/users/src/users/main.py").touch()

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.port('users')}") as client:

            async def is_back() -> bool:
                with suppress(httpx.TransportError):
                    ready = (await client.get("/health/ready")).is_success
                    return ready and len(before & {child.pid for child in reloader.children()}) < len(before)
                return False

            await eventually(is_back)

    async def test_unknown_process_to_reload_is_rejected(self, cli: CommandLine) -> None:
        up = await cli.run("up", "--only", "valkey", HOPLINE_RELOAD="shop")
        assert up.code == 1
        assert up.err.startswith("HOPLINE_RELOAD: unknown process shop: expected gateway, users")

    async def test_up_replaces_processes_whose_supervisor_was_killed(self, cli: CommandLine, stack: Stack) -> None:
        await cli.run("up", *WITHOUT_POSTGRES)
        daemon = psutil.Process(int((stack.run / "supervisord.pid").read_text()))
        daemon.kill()
        status = await cli.run("status")
        assert status.code == NOT_RUNNING
        assert "without supervisor" in status.out
        assert len(orphans.find(stack)) == 2

        up = await cli.run("up", *WITHOUT_POSTGRES)
        assert up.code == 0, up.err
        assert "without a supervisor" in up.out
        async with httpx.AsyncClient() as client:
            response = await client.get(f"http://127.0.0.1:{stack.port('jaeger')}/api/services")
        assert response.status_code == HTTPStatus.OK

    async def test_pid_file_is_ignored_when_it_survived_a_reboot(self, cli: CommandLine, stack: Stack) -> None:
        stack.create()
        (stack.run / "supervisord.pid").write_text(f"{os.getpid()}\n")
        (stack.home / "valkey").mkdir()
        (stack.home / "valkey" / "valkey.pid").write_text(f"{os.getpid()}\n")
        up = await cli.run("up", "--only", "valkey")
        assert up.code == 0, up.err
        assert "without a supervisor" not in up.out


class TestStatus:
    async def test_exit_code_is_3_when_nothing_runs(self, cli: CommandLine) -> None:
        status = await cli.run("status")
        assert status.code == NOT_RUNNING
        assert "make up" in status.out


class TestClean:
    async def test_clean_deletes_the_home_that_up_created(self, cli: CommandLine, stack: Stack) -> None:
        await cli.run("up", "--only", "valkey")
        assert (await cli.run("clean")).code == 0
        assert not stack.home.exists()

    async def test_clean_is_rejected_when_up_did_not_create_the_folder(self, cli: CommandLine, stack: Stack) -> None:
        stack.home.mkdir()
        precious = stack.home / "precious"
        precious.write_text("")
        clean = await cli.run("clean")
        assert clean.code == 1
        assert "not created by Hopline" in clean.err
        assert precious.exists()
        (stack.home / MARKER).write_text("")  # so that `clean` of the fixture succeeds


class TestMigrate:
    async def test_migrate_fails_when_the_databases_do_not_run(self, cli: CommandLine) -> None:
        migrate = await cli.run("migrate")
        assert migrate.code == 1
        assert "make up" in migrate.err


@pytest.mark.parametrize(
    ("command", "message"),
    [([], "the following arguments are required: command"), (["unknown"], "choose from .*up.*dead-letters.*logs")],
)
async def test_error_describes_the_argument_when_the_command_is_missing_or_unknown(
    cli: CommandLine, command: list[str], message: str
) -> None:
    result = await cli.run(*command)
    assert result.code == 2
    assert re.search(message, result.err)
