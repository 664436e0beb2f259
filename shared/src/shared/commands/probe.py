"""`python -m shared.commands.probe`: check inside a container whether its process is ready.

Without an argument it requests `/health/ready` on `PORT`. With the name of a key it checks that the key exists in the
Redis of `REDIS_URL`, or of the URL in the file `REDIS_URL_FILE`. That is for workers, which have no HTTP server: ARQ
writes a key every few seconds and lets it expire.

For a `rediss://` URL the server's certificate must be trusted by the system, by `SSL_CERT_FILE` or by the file that the
option `ssl_ca_certs` of the URL names. The option `ssl_cert_reqs=none` turns the check off. Other options of redis-py
are ignored.

The readiness probe also prints the size of `WORKER_RESTARTS_FILE`, so that `docker inspect` shows how many workers were
replaced. The program runs every few seconds and therefore imports only the standard library. The exit status is 0 or 1.
"""

import os
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

TIMEOUT_S = 3.0


def main(arguments: Sequence[str]) -> int:
    """Probe once. Print the reason of a failure on standard error for `docker inspect` and `kubectl describe`."""
    try:
        reason = check_key(arguments[0]) if arguments else check_readiness(int(os.environ.get("PORT") or "8000"))
    except (OSError, HTTPException) as error:
        reason = f"{type(error).__name__}: {error}"
    if reason:
        shown = "".join(character if character.isprintable() else "·" for character in reason)
        sys.stderr.write(f"{shown}\n")
    if not arguments and (file := os.environ.get("WORKER_RESTARTS_FILE")):
        restarts = Path(file).stat().st_size if Path(file).exists() else 0
        sys.stdout.write(f"worker_restarts={restarts}\n")
    return 1 if reason else 0


def check_readiness(port: int) -> str | None:
    """Return why the process on this port is not ready, or None."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    finally:
        connection.close()
    return None if response.status == HTTPStatus.OK else f"{response.status} {body}"


def check_key(key: str) -> str | None:
    """Return the responses of Redis if the key does not exist, or None."""
    url = urlsplit(_read_redis_url())
    commands = [["SELECT", url.path.strip("/") or "0"], ["EXISTS", key]]
    if url.password:
        commands.insert(0, ["AUTH", unquote(url.username or "default"), unquote(url.password)])
    tls = _tls_context(dict(parse_qsl(url.query))) if url.scheme == "rediss" else None
    with _connect(url.hostname or "127.0.0.1", url.port or 6379, tls=tls) as connection:
        connection.sendall(b"".join(_encode(command) for command in commands))
        lines = connection.makefile("rb")
        responses = [lines.readline().decode().strip() for _ in commands]
    return None if responses[-1] == ":1" else f"{key}: {', '.join(responses)}"


def _read_redis_url() -> str:
    if url := os.environ.get("REDIS_URL"):
        return url
    file = os.environ.get("REDIS_URL_FILE")
    return Path(file).read_text(encoding="utf-8").strip() if file else "redis://127.0.0.1:6379/0"


def _connect(host: str, port: int, *, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    return tls.wrap_socket(connection, server_hostname=host) if tls else connection


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return the context for the options of a `rediss://` URL."""
    context = ssl.create_default_context()
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if file := options.get("ssl_ca_certs"):
        context.load_verify_locations(file)
    return context


def _encode(command: Sequence[str]) -> bytes:
    """Encode a command in the Redis protocol: an array of strings with their lengths in bytes."""
    parts = [f"${len(part.encode())}\r\n{part}\r\n" for part in command]
    return f"*{len(command)}\r\n{''.join(parts)}".encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
