"""PostgreSQL, PgBouncer and Valkey as in the embedded mode, as child processes of pytest.

Each server has its own session, so that Ctrl-C reaches only pytest. The fixtures then stop the servers in order. If
pytest is killed, the kernel ends the servers.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from embedded import pgbouncer, postgres, valkey
from embedded.errors import MissingToolError
from testkit.apps import free_port

PASSWORD = "testkit"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0


class ServerDidNotStartError(Exception):
    """A server ended, or was not ready in time, at its start. The message contains the end of its log."""


class _Server:
    """One child process with its log and its port, which stay the same after a restart."""

    orphaned = signal.SIGKILL
    """Signal that the server receives if this process has ended without stopping it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it is ready. Blocks for a fraction of a second."""
        log = self._folder.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the embedded mode's own command line
                self._argv(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(signal_when_orphaned, self.orphaned),  # noqa: PLW1509 - one system call
                **self._identity(),
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _run_in_thread(self._responds):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                end = log.read_text(errors="replace")[-2000:]
                raise ServerDidNotStartError(f"{self._folder.name} did not start. The end of its log:\n{end}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server cleanly, without waiting for clients."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server with SIGKILL, like a crash. Data stays as far as the server has persisted it."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _argv(self) -> list[str]:
        raise NotImplementedError

    def _identity(self) -> Any:
        """Return the arguments of Popen that select the account of the process."""
        return {}

    async def _responds(self) -> bool:
        raise NotImplementedError


class PostgresServer(_Server):
    """One PostgreSQL cluster below `root`. With `durable`, commits survive a stop of any kind, at the cost of fsync."""

    orphaned = signal.SIGQUIT  # PostgreSQL's immediate shutdown, which ends all its processes

    def __init__(self, root: Path, *, durable: bool) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="postgres-", dir=root)))
        self._cluster = postgres.prepare(self._folder, port=self.port)
        self._durable = durable
        self.url = self._cluster.url(PASSWORD)

    def start(self) -> None:
        """Start the cluster. The first call creates it, which takes about a second."""
        self._cluster.initialise(PASSWORD)
        super().start()

    def immediate_stop(self) -> None:
        """Stop without a checkpoint and drop all connections, like a power failure. The next start runs recovery."""
        self._end(signal.SIGQUIT)

    def _argv(self) -> list[str]:
        return self._cluster.argv(max_connections=200, durable=self._durable)

    def _identity(self) -> Any:
        return self._cluster.identity

    async def _responds(self) -> bool:
        return await postgres.is_ready(self.url)


class ValkeyServer(_Server):
    """One Valkey below `root`. With `append_only`, acknowledged writes survive SIGKILL; otherwise no data does."""

    def __init__(self, root: Path, *, append_only: bool = False) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="valkey-", dir=root)))
        self._server = valkey.prepare(self._folder, port=self.port)
        self._append_only = append_only
        self.url = self._server.url

    def _argv(self) -> list[str]:
        # Tests check each write, and without "always" the last second of writes may be lost.
        return [*self._server.argv(durable=self._append_only), "--appendfsync", "always"]

    async def _responds(self) -> bool:
        return await valkey.is_ready(self.port)


class PgBouncerServer(_Server):
    """A PgBouncer in transaction mode for the databases at `urls`, with `pool_size` connections to each database."""

    def __init__(self, root: Path, urls: Sequence[str], *, pool_size: int) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="pgbouncer-", dir=root)))
        self._server = pgbouncer.prepare(self._folder, port=self.port)
        self._server.write(urls, pool_size=pool_size)
        self.url = f"postgresql://127.0.0.1:{self.port}?sslmode=disable"

    def _argv(self) -> list[str]:
        return self._server.argv()

    def _identity(self) -> Any:
        return self._server.identity

    async def _responds(self) -> bool:
        return await pgbouncer.is_ready(self.port)


def require_pgbouncer() -> None:
    """Skip the test if PgBouncer is not installed; fail in CI."""
    try:
        pgbouncer.installed_program()
    except MissingToolError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def _run_in_thread(function: Callable[[], Awaitable[bool]]) -> bool:
    """Run a coroutine function in another thread, because tests have a running event loop and fixtures have none."""

    async def call() -> bool:
        return await function()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, call()).result()


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def signal_when_orphaned(number: signal.Signals) -> None:
    """Have the kernel send this child process the signal `number` when its parent ends. Linux only."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)


StartPostgres = Callable[[], PostgresServer]
StartValkey = Callable[..., ValkeyServer]
StartPgBouncer = Callable[..., PgBouncerServer]


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """Return a folder that PostgreSQL's account can read, unlike pytest's temporary folders. It is removed later."""
    root = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    root.chmod(0o711)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def start_postgres(server_root: Path) -> Iterator[StartPostgres]:
    """Return a function that starts a separate PostgreSQL, which the test can stop and start again.

    A call takes about one second.
    """
    with contextlib.ExitStack() as running:

        def start() -> PostgresServer:
            server = PostgresServer(server_root, durable=True)
            running.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture
def start_valkey(server_root: Path) -> Iterator[StartValkey]:
    """Return a function that starts a separate Valkey, which the test can flush, kill and start again.

    Call it with `append_only=True` if the data must survive.
    """
    with contextlib.ExitStack() as running:

        def start(*, append_only: bool = False) -> ValkeyServer:
            server = ValkeyServer(server_root, append_only=append_only)
            running.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture
def start_pgbouncer(server_root: Path) -> Iterator[StartPgBouncer]:
    """Return a function that starts a separate PgBouncer: `start_pgbouncer(url, pool_size=2)`."""
    require_pgbouncer()
    with contextlib.ExitStack() as running:

        def start(*urls: str, pool_size: int) -> PgBouncerServer:
            server = PgBouncerServer(server_root, urls, pool_size=pool_size)
            running.callback(server.stop)
            server.start()
            return server

        yield start
