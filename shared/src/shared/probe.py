"""`python -m shared.probe`: whether the process in this container is ready, asked from inside it, without curl.

Without an argument it asks `/health/ready` on `PORT`; with one, whether that key exists in the Redis of `REDIS_URL`,
which is how a process without HTTP shows that it works (ARQ writes one every few seconds and lets it expire).
It also prints the size of `WORKER_RESTARTS_FILE`, so that `docker inspect` shows how many workers were replaced.
It imports nothing but the standard library: it runs every few seconds beside the real work. Exit status 0 or 1.
"""

import os
import socket
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 3.0
_OK = 200


def main(arguments: Sequence[str]) -> int:
    """Ask once; print why not on standard error, where `docker inspect` and `kubectl describe` show it."""
    try:
        reason = missing(arguments[0]) if arguments else not_ready(int(os.environ.get("PORT", "8000")))
    except (OSError, HTTPException) as error:
        reason = f"{type(error).__name__}: {error}"
    if reason:
        shown = "".join(character if character.isprintable() else "·" for character in reason)
        sys.stderr.write(f"{shown}\n")
    if not arguments and (file := os.environ.get("WORKER_RESTARTS_FILE")):
        restarts = Path(file).stat().st_size if Path(file).exists() else 0
        sys.stdout.write(f"worker_restarts={restarts}\n")
    return 1 if reason else 0


def not_ready(port: int) -> str | None:
    """Say what `/health/ready` on this port holds against the process; None where it is ready."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    finally:
        connection.close()
    return None if answer.status == _OK else f"{answer.status} {body}"


def missing(key: str) -> str | None:
    """Say that a key is not in the Redis of `REDIS_URL`, or what Redis answered instead; None where it is there."""
    url = urlsplit(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
    commands = [["SELECT", url.path.strip("/") or "0"], ["EXISTS", key]]
    if url.password:
        commands.insert(0, ["AUTH", unquote(url.username or "default"), unquote(url.password)])
    with socket.create_connection((url.hostname or "127.0.0.1", url.port or 6379), timeout=TIMEOUT_S) as connection:
        connection.sendall(b"".join(_encode(command) for command in commands))
        lines = connection.makefile("rb")
        answers = [lines.readline().decode().strip() for _ in commands]
    return None if answers[-1] == ":1" else f"{key}: {', '.join(answers)}"


def _encode(command: Sequence[str]) -> bytes:
    """Write a command as the Redis protocol has it: an array of strings with their lengths in bytes."""
    parts = [f"${len(part.encode())}\r\n{part}\r\n" for part in command]
    return f"*{len(command)}\r\n{''.join(parts)}".encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
