"""supervisord: starting a process, and its state while it stops a process that ignores SIGTERM."""

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from embedded import lifecycle
from embedded.__main__ import main
from embedded.errors import EmbeddedError, SupervisordStoppingError
from embedded.processes import Process
from embedded.stack import Stack
from embedded.supervisor import Supervisor
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("own-stack")

STUBBORN = "trap '' TERM; touch {ready}; while :; do sleep 0.1; done"


@pytest.fixture
def process(tmp_path: Path) -> Process:
    command = ["/bin/sh", "-c", STUBBORN.format(ready=tmp_path / "ready")]
    return Process(name="stubborn", group="stores", command=command, stop_seconds=3)


@pytest.fixture
def supervisor(stack: Stack, process: Process) -> Iterator[Supervisor]:
    stack.create()
    supervisor = Supervisor(stack)
    supervisor.launch([process], os.environ)
    yield supervisor
    lifecycle.down(stack)


@pytest.fixture
async def stopping(supervisor: Supervisor, process: Process, tmp_path: Path) -> Supervisor:
    supervisor.start(process)
    await eventually((tmp_path / "ready").exists)
    supervisor.shutdown()
    return supervisor


class TestStopping:
    async def test_calls_report_that_the_stack_is_stopping(self, stopping: Supervisor, process: Process) -> None:
        for call in (stopping.states, stopping.shutdown, lambda: stopping.start(process)):
            with pytest.raises(SupervisordStoppingError, match="is stopping"):
                call()

    async def test_down_waits_until_supervisord_has_exited(self, stopping: Supervisor, stack: Stack) -> None:
        assert lifecycle.down(stack) is True
        assert stopping.daemon() is None

    @pytest.mark.usefixtures("stopping")
    def test_status_prints_one_line_and_fails(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("HOPLINE_HOME", str(stack.home))
        monkeypatch.setenv("HOPLINE_PORT_OFFSET", str(stack.offset))
        assert main(["status"]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line == f"the stack in {stack.home} is stopping: `make down` waits for its end"


class TestStart:
    def test_process_that_is_not_configured_is_rejected_with_its_name(self, supervisor: Supervisor) -> None:
        unknown = Process(name="unknown", group="stores", command=["/bin/true"], stop_seconds=1)
        with pytest.raises(EmbeddedError, match="unknown cannot be started: BAD_NAME"):
            supervisor.start(unknown)
        with pytest.raises(EmbeddedError, match="unknown cannot be stopped: BAD_NAME"):
            supervisor.stop(unknown)

    def test_process_that_runs_is_not_started_again(self, supervisor: Supervisor, process: Process) -> None:
        supervisor.start(process)
        pid = supervisor.states()[process.name].pid
        supervisor.start(process)
        assert supervisor.states()[process.name].pid == pid


class TestWaking:
    def test_down_wakes_supervisord_until_it_has_exited(self, stack: Stack) -> None:
        """A process that ignores SIGTERM stands in for supervisord. The first connection is that of the request."""
        stack.create()
        configuration = stack.run / "supervisord.conf"
        with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor() as pool, ExitStack() as started:
            command = ["/bin/sh", "-c", "trap '' TERM; echo; while :; do sleep 0.1; done", str(configuration)]
            daemon = started.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            started.callback(daemon.kill)
            assert daemon.stdout is not None
            daemon.stdout.readline()
            (stack.run / "supervisord.pid").write_text(str(daemon.pid))
            listener.bind(str(stack.socket))
            listener.listen()
            listener.settimeout(30)

            def end_at_second_connection() -> None:
                try:
                    for _ in range(2):
                        listener.accept()[0].close()
                finally:
                    daemon.kill()

            ended = pool.submit(end_at_second_connection)
            assert lifecycle.down(stack) is True
            ended.result()
