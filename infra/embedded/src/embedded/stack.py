"""Which stack is meant and where it keeps its things: HOPLINE_HOME and HOPLINE_PORT_OFFSET.

Several stacks run side by side when both differ. Everything a stack writes lies in its home::

    postgres/ valkey/   data           secrets/   mode 0700, one value a file
    logs/               <process>.log  run/       supervisor's configuration, pid and socket
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

ROOT = Path(__file__).resolve().parents[4]
"""The checkout, with services/ and workers/ in it."""

MARKER = ".created-by-hopline"
SHORT = Path("/tmp")  # noqa: S108 - a path to a socket may have 107 bytes at most; the folder is private
LONGEST_SOCKET = 90


@dataclass(frozen=True)
class Stack:
    """One running or stopped Hopline on this machine."""

    home: Path
    offset: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Stack":
        """Read HOPLINE_HOME (default .hopline in the checkout) and HOPLINE_PORT_OFFSET (default 0)."""
        home = Path(environ.get("HOPLINE_HOME") or ROOT / ".hopline").expanduser().resolve()
        return cls(home, _offset(environ.get("HOPLINE_PORT_OFFSET") or "0"))

    def port(self, name: str) -> int:
        """Give the number of a named port of `embedded.ports` in this stack."""
        return PORTS[name].number + self.offset

    @property
    def secrets(self) -> Path:
        """Folder of generated secrets."""
        return self.home / "secrets"

    @property
    def run(self) -> Path:
        """Folder of what only matters while the stack runs."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Folder of the processes' output."""
        return self.home / "logs"

    def log(self, process: str) -> Path:
        """Give the file that holds a process's output."""
        return self.logs / f"{process}.log"

    def log_size(self, process: str) -> int:
        """Give how many bytes are in it."""
        return self.log(process).stat().st_size if self.log(process).exists() else 0

    def worker_restarts(self, process: str) -> Path:
        """Give the file that a service's gunicorn master makes longer by a byte for each worker that it replaces."""
        return self.run / f"{process}.restarts"

    @property
    def socket(self) -> Path:
        """Supervisor's control socket: in `run`, or in a private folder with a short name if that is too long."""
        usual = self.run / "supervisor.sock"
        if len(os.fsencode(usual)) <= LONGEST_SOCKET:
            return usual
        return self._outside.with_suffix(".sock")

    @property
    def _outside(self) -> Path:
        """What cannot lie in the home has this name and a suffix."""
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return SHORT / f"hopline-{os.geteuid()}" / digest

    def create(self) -> None:
        """Create the folders. Refuses a home with foreign things in it, so that `remove` is always safe."""
        if self.home.is_dir() and any(self.home.iterdir()) and not (self.home / MARKER).exists():
            raise EmbeddedError(f"{self.home} is not empty and was not created by Hopline: choose another HOPLINE_HOME")
        self.home.mkdir(parents=True, exist_ok=True)
        if self.home.stat().st_uid != os.geteuid():  # files of two accounts in it would serve neither
            owner = self.home.owner()
            raise EmbeddedError(f"{self.home} belongs to {owner}: run this as {owner}, or choose another HOPLINE_HOME")
        self.home.chmod(0o711 if os.geteuid() == 0 else 0o700)  # as root, PostgreSQL's account passes through
        (self.home / MARKER).write_text("Made by `make up`; `make clean` removes this folder.\n")
        for folder in (self.secrets, self.run, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        _make_private(self.socket.parent)

    def remove(self) -> bool:
        """Delete the home, and only one that `create` made; say whether there was something to delete."""
        for suffix in (".lock", ".sock"):
            self._outside.with_suffix(suffix).unlink(missing_ok=True)
        if not self.home.exists():
            return False
        if not (self.home / MARKER).exists():
            raise EmbeddedError(f"{self.home} was not created by Hopline: not touched")
        cluster = self.home / "postgres"
        if cluster.is_symlink():  # it lies where PostgreSQL's account can reach it: see embedded.reach
            shutil.rmtree(cluster.resolve(), ignore_errors=True)
        shutil.rmtree(self.home)
        return True

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep two commands from changing the stack at once. Raises EmbeddedError when another one is at it."""
        lock = self._outside.with_suffix(".lock")  # outside, as a home is only made once it is known to be ours
        _make_private(lock.parent)
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EmbeddedError(
                    f"another command is starting or stopping the stack in {self.home}: wait for it"
                ) from None
            yield


def _offset(raw: str) -> int:
    highest = 65_535 - max(port.number for port in PORTS.values())
    if raw.isascii() and raw.isdecimal() and int(raw) <= highest:
        return int(raw)
    raise EmbeddedError(f"HOPLINE_PORT_OFFSET={raw}: expected a whole number from 0 to {highest}")


def _make_private(folder: Path) -> None:
    """Create a folder of our own in a place that all can write to; refuse one that someone else prepared."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedError(f"{folder} does not belong to us alone: remove it")
