"""PostgreSQL and Valkey as the embedded mode runs them, as children bound to this process.

Each server leads its own session, so that Ctrl-C reaches only pytest, whose fixtures then stop the servers in order;
and the kernel is asked to end them should pytest itself be killed.
"""

import asyncio
import contextlib
import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from embedded import postgres, valkey
from testkit.apps import free_port

PASSWORD = "testkit"
_START_TIMEOUT_S = 30.0


class ServerDidNotStartError(Exception):
    """A server ended or stayed silent while starting; the message carries the end of its log."""


class _Server:
    """What both servers share: one child process, its log, its port; all kept over a restart."""

    orphaned = signal.SIGKILL
    """What ends the server when this process has ended without doing so."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers; blocks for a fraction of a second."""
        log = self._folder.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the embedded mode's own command line
                self._argv(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(when_orphaned, self.orphaned),  # noqa: PLW1509 - nothing but one system call
                **self._identity(),
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _in_a_loop_of_its_own(self._answers):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerDidNotStartError(log.read_text(errors="replace")[-2000:])
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop at once, but cleanly."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill -9, as a crash would; what was acknowledged stays as far as the server keeps it."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _argv(self) -> list[str]:
        raise NotImplementedError

    def _identity(self) -> Any:
        return {}

    async def _answers(self) -> bool:
        raise NotImplementedError


class PostgresServer(_Server):
    """One PostgreSQL cluster below `root`. `durable` keeps commits over a stop of any kind, at the price of fsync."""

    orphaned = signal.SIGQUIT  # its own immediate stop, which takes its many processes along

    def __init__(self, root: Path, *, durable: bool) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="postgres-", dir=root)))
        self._cluster = postgres.prepare(self._folder, port=self.port)
        self._durable = durable
        self.url = self._cluster.url(PASSWORD)

    def start(self) -> None:
        """Create the cluster on first use (about a second), then start it."""
        self._cluster.initialise(PASSWORD)
        super().start()

    def immediate_stop(self) -> None:
        """Stop as a power cut would: no checkpoint, every connection dropped, recovery at the next start."""
        self._end(signal.SIGQUIT)

    def _argv(self) -> list[str]:
        return self._cluster.argv(max_connections=200, durable=self._durable)

    def _identity(self) -> Any:
        return self._cluster.identity

    async def _answers(self) -> bool:
        return await postgres.answers(self.url)


class ValkeyServer(_Server):
    """One Valkey below `root`. `append_only` keeps what it acknowledged over a kill -9; else nothing is kept."""

    def __init__(self, root: Path, *, append_only: bool = False) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="valkey-", dir=root)))
        self._server = valkey.prepare(self._folder, port=self.port)
        self._append_only = append_only
        self.url = self._server.url

    def _argv(self) -> list[str]:
        # "always", as a test asserts on every single write where the embedded mode may lose the last second's
        return [*self._server.argv(durable=self._append_only), "--appendfsync", "always"]

    async def _answers(self) -> bool:
        return await valkey.answers(self.port)


def _in_a_loop_of_its_own(question: Callable[[], Awaitable[bool]]) -> bool:
    """Ask from a thread: fixtures run outside of any loop, tests inside of one."""

    async def ask() -> bool:
        return await question()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, ask()).result()


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def when_orphaned(number: signal.Signals) -> None:
    """Ask the kernel to send this child `number` when its parent ends; Linux only."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)


StartPostgres = Callable[[], PostgresServer]
StartValkey = Callable[..., ValkeyServer]


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach, unlike pytest's own temporary ones; removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    root.chmod(0o711)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def start_postgres(server_root: Path) -> Iterator[StartPostgres]:
    """Starts a PostgreSQL of the test's own, to stop and start again; about one second."""
    with contextlib.ExitStack() as running:

        def start() -> PostgresServer:
            server = PostgresServer(server_root, durable=True)
            running.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture
def start_valkey(server_root: Path) -> Iterator[StartValkey]:
    """Starts a Valkey of the test's own, to flush, kill and start again: `start_valkey(append_only=True)`."""
    with contextlib.ExitStack() as running:

        def start(*, append_only: bool = False) -> ValkeyServer:
            server = ValkeyServer(server_root, append_only=append_only)
            running.callback(server.stop)
            server.start()
            return server

        yield start
