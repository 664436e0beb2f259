"""Under which system account PostgreSQL runs, and what that account can reach.

PostgreSQL refuses to run as root. When we are root it therefore runs as `nobody`, which exists everywhere
and may do nothing: no account is created and no file or folder of the person's has its permissions changed.
When we are not root, everything simply runs as ourselves.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from embedded.errors import EmbeddedError

UNPRIVILEGED = "nobody"


class Identity(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen` that make the child run as an account (empty: as ourselves)."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A system account other than our own."""

    name: str
    uid: int
    gid: int

    def identity(self) -> Identity:
        """Give what `subprocess.Popen` needs to run a child as this account, without our groups."""
        return Identity(user=self.uid, group=self.gid, extra_groups=[])

    def can(self, test: str, path: Path) -> bool:
        """Ask the kernel whether the account may `-r` read or `-x` run or enter `path`.

        Asked from a child that *is* the account, so that folders above, ACLs and mounts all count.
        """
        command = ["/bin/sh", "-c", f'test {test} "$0"', str(path)]
        return subprocess.run(command, check=False, cwd="/", **self.identity()).returncode == 0


def for_postgres() -> Account | None:
    """Give the account PostgreSQL must run as, or None when it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and this machine has no account {UNPRIVILEGED!r}: "
            "run this as an ordinary user"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
