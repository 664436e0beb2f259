"""The stack that HOPLINE_HOME and HOPLINE_PORT_OFFSET select, and its files.

Several stacks run side by side if both differ. A stack writes only in its home::

    postgres/ valkey/   data           secrets/   mode 0700, one value per file
    logs/               <process>.log  run/       supervisord's configuration, pid and socket
    objects/            files that the processes share
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import EmbeddedError
from embedded.ports import PORTS
from shared.validation.port_offset import parse_port_offset

ROOT = Path(__file__).resolve().parents[4]
"""The checkout, which contains services/ and workers/."""

MARKER = ".created-by-hopline"
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - the folder inside it is private
MAX_SOCKET_PATH_BYTES = 90
"""The system's limit is 107 bytes. supervisord first creates the socket at this path with its process id appended."""


@dataclass(frozen=True)
class Stack:
    """One running or stopped Hopline on this machine."""

    home: Path
    offset: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Stack":
        """Read HOPLINE_HOME (default .hopline in the checkout) and HOPLINE_PORT_OFFSET (default 0)."""
        home = Path(environ.get("HOPLINE_HOME") or ROOT / ".hopline").expanduser().resolve()
        return cls(home, _offset(environ.get("HOPLINE_PORT_OFFSET", "")))

    def port(self, name: str) -> int:
        """Return the number of a named port of `embedded.ports` in this stack."""
        return PORTS[name].number + self.offset

    @property
    def secrets(self) -> Path:
        """Folder of generated secrets."""
        return self.home / "secrets"

    @property
    def run(self) -> Path:
        """Folder of files that are needed only while the stack runs."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of the processes' output."""
        return self.home / "logs"

    def log(self, process: str) -> Path:
        """Return the file with a process's output."""
        return self.logs / f"{process}.log"

    def log_size(self, process: str) -> int:
        """Return the size of the log in bytes."""
        return self.log(process).stat().st_size if self.log(process).exists() else 0

    def worker_restarts(self, process: str) -> Path:
        """Return the file to which a service's gunicorn master appends a byte for each worker that it replaces."""
        return self.run / f"{process}.restarts"

    @property
    def socket(self) -> Path:
        """Supervisord's control socket: in `run`, or in a private folder with a short path if that path is too long."""
        usual = self.run / "supervisor.sock"
        if len(os.fsencode(usual)) <= MAX_SOCKET_PATH_BYTES:
            return usual
        return self._outside.with_suffix(".sock")

    @property
    def _outside(self) -> Path:
        """Path outside the home, for a suffix: files that cannot be in the home."""
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return SHORT_FOLDER / f"hopline-{os.geteuid()}" / digest

    def create(self) -> None:
        """Create the folders. Reject a home with other files in it, so that `remove` is safe.

        Raises:
            EmbeddedError: The home is not Hopline's, belongs to another account, or cannot be created.
        """
        try:
            self._create()
        except OSError as error:
            raise EmbeddedError(
                f"{self.home} cannot be created: {error.strerror}: choose another HOPLINE_HOME"
            ) from error

    def _create(self) -> None:
        if self.home.is_dir() and any(self.home.iterdir()) and not (self.home / MARKER).exists():
            raise EmbeddedError(f"{self.home} is not empty and was not created by Hopline: choose another HOPLINE_HOME")
        self.home.mkdir(parents=True, exist_ok=True)
        if self.home.stat().st_uid != os.geteuid():  # neither account could use the files of both
            owner = _owner(self.home)
            raise EmbeddedError(f"{self.home} belongs to {owner}: run this as {owner}, or choose another HOPLINE_HOME")
        self.home.chmod(0o711 if os.geteuid() == 0 else 0o700)  # as root, PostgreSQL's account must be able to enter
        (self.home / MARKER).write_text("Created by `make up`; `make clean` removes this folder.\n")
        for folder in (self.secrets, self.run, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        _make_private(self.socket.parent)

    def remove(self) -> bool:
        """Delete the home if `create` created it; return whether there was something to delete.

        The lock is deleted last, so that no other command starts meanwhile.
        """
        removed = self._remove_home()
        for suffix in (".sock", ".lock"):
            self._outside.with_suffix(suffix).unlink(missing_ok=True)
        return removed

    def _remove_home(self) -> bool:
        if not self.home.exists():
            return False
        if not (self.home / MARKER).exists():
            raise EmbeddedError(f"{self.home} was not created by Hopline: it is not removed")
        cluster = self.home / "postgres"
        if cluster.is_symlink():  # a link to a folder that PostgreSQL's account can reach: see embedded.postgres_access
            shutil.rmtree(cluster.resolve(), ignore_errors=True)
        shutil.rmtree(self.home)
        return True

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Lock the stack against other commands that change it. Raises EmbeddedError if it is locked."""
        lock = self._outside.with_suffix(".lock")  # outside, because the home may not exist yet
        _make_private(lock.parent)
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EmbeddedError(
                    f"another command is starting or stopping the stack in {self.home}: wait for it"
                ) from None
            yield


def _offset(text: str) -> int:
    try:
        return parse_port_offset(text)
    except ValueError as error:
        raise EmbeddedError(f"HOPLINE_PORT_OFFSET={text}: {error}") from None


def _owner(path: Path) -> str:
    """Return the name of the account that owns `path`, or its number if it has no name on this machine."""
    try:
        return path.owner()
    except KeyError:
        return f"uid {path.stat().st_uid}"


def _make_private(folder: Path) -> None:
    """Create a private folder in a folder that all users can write to. Raises EmbeddedError if it is not private."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedError(f"{folder} belongs to another user or is accessible to others: remove it")
