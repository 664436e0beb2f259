"""The system account of PostgreSQL, and which paths it can read.

PostgreSQL does not run as root. If the user is root, PostgreSQL runs as `nobody`, an account without permissions that
exists on every system. No account is created, and permissions of the user's files and folders do not change. If the
user is not root, PostgreSQL runs as the user.
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
    """Keyword arguments of `subprocess.Popen` that run the child as an account (empty: as the user)."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A system account other than the user's."""

    name: str
    uid: int
    gid: int

    def identity(self) -> Identity:
        """Return the arguments of `subprocess.Popen` that run a child as this account, without the user's groups."""
        return Identity(user=self.uid, group=self.gid, extra_groups=[])

    def can(self, test: str, path: Path) -> bool:
        """Return whether the account may read (`-r`) or execute (`-x`) `path`.

        A child process of the account checks it, so the kernel considers parent folders, ACLs and mounts.
        """
        command = ["/bin/sh", "-c", f'test {test} "$0"', str(path)]
        return subprocess.run(command, check=False, cwd="/", **self.identity()).returncode == 0


def for_postgres() -> Account | None:
    """Return the account that PostgreSQL must run as, or None if it runs as the user."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and this machine has no account {UNPRIVILEGED!r}: "
            "run the command as a user other than root"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
