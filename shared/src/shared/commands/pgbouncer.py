"""Write PgBouncer's configuration, pgbouncer.ini and userlist.txt: `python -m shared.commands.pgbouncer FOLDER`.

The databases are those of the variables `…_DATABASE_URL_FILE` in the environment, so that PgBouncer needs no separate
Secret. The embedded mode, Compose and Kubernetes use the same settings.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shared.config import CONFIGURATION_ERROR, ConfigurationError, read_secret_file
from shared.connections import PGBOUNCER_POOL_SIZE

PORT = 6432
VARIABLE_SUFFIX = "_DATABASE_URL_FILE"

_SETTINGS = {
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "max_client_conn": 1000,
    # Timeouts in seconds. A process waits 3 s for its own pool as well. By default PgBouncer lets a client wait 120 s
    # for a server connection, and tries a failed server again after 15 s.
    "query_wait_timeout": 3,
    "server_connect_timeout": 3,
    "server_login_retry": 1,
    # Seconds after which a connection is replaced. The new one resolves the host name again, so that it reaches the new
    # primary after a failover.
    "server_lifetime": 300,
    "log_connections": 0,
    "log_disconnections": 0,
}


def render_ini(
    urls: Iterable[str],
    *,
    auth_file: str,
    pool_size: int = PGBOUNCER_POOL_SIZE,
    host: str = "*",
    port: int = PORT,
    sslmode: str = "prefer",
) -> str:
    """Return pgbouncer.ini for the databases at `urls`; each has a pool of `pool_size` connections to its server."""
    parts = [urlsplit(url) for url in urls]
    databases = {
        part.path.removeprefix("/"): f"host={part.hostname} port={part.port or 5432} dbname={part.path[1:]}"
        for part in parts
    }
    settings = {
        "listen_addr": host,
        "listen_port": port,
        "auth_file": auth_file,
        "stats_users": ", ".join(sorted({unquote(part.username or "") for part in parts})),
        "default_pool_size": pool_size,
        "max_db_connections": pool_size,
        "server_tls_sslmode": sslmode,
        **_SETTINGS,
    }
    lines = ["[databases]", *(f"{name} = {address}" for name, address in databases.items())]
    lines += ["", "[pgbouncer]", *(f"{name} = {value}".rstrip() for name, value in settings.items())]
    return "\n".join(lines) + "\n"


def render_userlist(urls: Iterable[str]) -> str:
    """Return userlist.txt: the passwords by which clients log in to PgBouncer, and PgBouncer to the server."""
    users = {unquote(part.username or ""): unquote(part.password or "") for part in map(urlsplit, urls)}
    return "".join(f"{_quote(user)} {_quote(password)}\n" for user, password in users.items())


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _pool_size() -> int:
    text = os.environ.get("PGBOUNCER_POOL_SIZE") or str(PGBOUNCER_POOL_SIZE)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigurationError(f"PGBOUNCER_POOL_SIZE: {text!r} is not a number of connections. Set it to 1 or more")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both files for the databases of the environment, with PGBOUNCER_POOL_SIZE and PGSSLMODE."""
    parser = argparse.ArgumentParser(prog="python -m shared.commands.pgbouncer", description=main.__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of pgbouncer.ini and userlist.txt")
    folder: Path = parser.parse_args(arguments).folder
    try:
        files = sorted((path, name) for name, path in os.environ.items() if name.endswith(VARIABLE_SUFFIX))
        urls = [read_secret_file(name, path).strip() for path, name in files]
        pool_size = _pool_size()
    except ConfigurationError as error:
        sys.stderr.write(f"configuration error: {error}\n")
        return CONFIGURATION_ERROR
    userlist = folder / "userlist.txt"
    ini = render_ini(
        urls, auth_file=str(userlist), pool_size=pool_size, sslmode=os.environ.get("PGSSLMODE") or "prefer"
    )
    for path, content in ((folder / "pgbouncer.ini", ini), (userlist, render_userlist(urls))):
        path.touch(mode=0o640)
        path.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
