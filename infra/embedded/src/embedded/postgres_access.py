"""Gives PostgreSQL's account access to its programs and its data without changing permissions of the user's folders.

If the account (see `embedded.account`) cannot reach the programs, for example in a checkout in root's home, they are
copied once to /var/lib/hopline. If it cannot reach the cluster's folder, the cluster is created in /var/lib/hopline
as well, and the folder is a link to it.
"""

import hashlib
import os
import shutil
from pathlib import Path

from embedded.account import Account

REACHABLE_BY_ALL = Path("/var/lib/hopline")


def reachable_programs(programs: Path, account: Account) -> Path:
    """Return a folder of the programs that the account can run: the original, or a copy made once per version."""
    if account.can("-x", programs / "bin/postgres") and account.can("-r", programs / "share/postgresql/postgres.bki"):
        return programs
    site, package = programs.parents[1], programs.parent.name
    version = next(site.glob(f"{package}-*.dist-info")).name.removesuffix(".dist-info")
    target = REACHABLE_BY_ALL / version
    if not target.exists():
        partial = target.with_name(f"{version}.{os.getpid()}")
        skipped = shutil.ignore_patterns("include")
        shutil.copytree(programs, partial / programs.relative_to(site), ignore=skipped)
        shutil.copytree(site / f"{package}.libs", partial / f"{package}.libs")  # bin/ finds them by a relative path
        _open_to_all(partial)
        try:
            partial.rename(target)
        except OSError:  # another stack created the copy first
            shutil.rmtree(partial)
    return target / programs.relative_to(site)


def _open_to_all(root: Path) -> None:
    """Make the copy readable for all accounts, independent of the umask."""
    REACHABLE_BY_ALL.chmod(0o755)
    for path in (root, *root.rglob("*")):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() or path.parent.name == "bin" else 0o644))


def reachable_folder(folder: Path, account: Account) -> Path:
    """Change the owner of `folder` to the account, or replace it by a link to a folder that the account can reach."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    parent = folder.parent.resolve()
    if not folder.is_symlink():
        if account.can("-x", parent):
            _change_owner(folder, account)
            return folder.resolve()
        digest = hashlib.sha256(os.fsencode(parent / folder.name)).hexdigest()[:12]
        elsewhere = REACHABLE_BY_ALL / f"cluster-{digest}"
        elsewhere.mkdir(parents=True, exist_ok=True)
        REACHABLE_BY_ALL.chmod(0o755)
        folder.symlink_to(elsewhere)
    _change_owner(folder.resolve(), account)
    return folder.resolve()


def _change_owner(folder: Path, account: Account) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.chown(folder, account.uid, account.gid)
