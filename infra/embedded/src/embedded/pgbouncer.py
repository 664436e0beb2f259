"""PgBouncer in transaction mode, from the system's package. HOPLINE_PGBOUNCER=1 puts it in front of PostgreSQL."""

import asyncio
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from embedded.account import Account, Identity, for_postgres
from embedded.errors import MissingToolError
from embedded.postgres_access import reachable_folder
from shared.commands.pgbouncer import render_ini, render_userlist

SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin"
"""Folders of the program, which are not on the PATH of every user."""
_CONNECT_TIMEOUT_S = 1


@dataclass(frozen=True)
class PgBouncer:
    """One process: its program, the folder of its two files, its port and its account (None: the user's)."""

    program: str
    folder: Path
    port: int
    account: Account | None

    @property
    def identity(self) -> Identity:
        """The arguments of `subprocess.Popen` that run it as its account, because it does not run as root."""
        return self.account.identity() if self.account else Identity()

    def argv(self) -> list[str]:
        """Return the command that runs it in the foreground. SIGINT stops it after the current transactions."""
        return [self.program, str(self._ini)]

    def write(self, urls: Iterable[str], *, pool_size: int) -> None:
        """Write its files for the databases at `urls`. Only its account can read them.

        An unchanged file is not written, because a PgBouncer that starts at this moment would find it empty.
        """
        urls, userlist = list(urls), self.folder / "userlist.txt"
        ini = render_ini(urls, auth_file=str(userlist), pool_size=pool_size, host="127.0.0.1", port=self.port)
        for path, content in ((self._ini, ini), (userlist, render_userlist(urls))):
            if path.exists() and path.read_text() == content:
                continue
            path.touch(mode=0o600)
            if self.account:
                os.chown(path, self.account.uid, self.account.gid)
            path.write_text(content)

    @property
    def _ini(self) -> Path:
        return self.folder / "pgbouncer.ini"


def prepare(folder: Path, *, port: int) -> PgBouncer:
    """Prepare `folder` for one PgBouncer. Raises MissingToolError."""
    program, account = installed_program(), for_postgres()
    if account is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return PgBouncer(program, folder.resolve(), port, None)
    return PgBouncer(program, reachable_folder(folder, account), port, account)


def installed_program() -> str:
    """Return the path of the program, from the PATH or a system folder. Raises MissingToolError."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_FOLDERS}")
    if found is None:
        raise MissingToolError(
            "PgBouncer is missing: install it (Debian, Ubuntu: apt install pgbouncer), or run without HOPLINE_PGBOUNCER"
        )
    return found


async def is_ready(port: int) -> bool:
    """Return whether it accepts connections."""
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
