"""The ports of the stack, with their processes, and a check that they are free."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Port:
    """A TCP port on 127.0.0.1, without the offset of a stack."""

    number: int
    process: str
    purpose: str


PORTS = {
    "gateway": Port(8000, "gateway", "the public API"),
    "users": Port(8001, "users", "HTTP"),
    "orders": Port(8002, "orders", "HTTP"),
    "notifications": Port(8003, "notifications", "HTTP and WebSockets"),
    "postgres": Port(25432, "postgres", "PostgreSQL"),
    "pgbouncer": Port(26432, "pgbouncer", "PgBouncer"),
    "valkey": Port(26379, "valkey", "the Redis protocol"),
    "otlp": Port(4318, "observatory", "OTLP in"),
    "jaeger": Port(16686, "observatory", "traces"),
    "loki": Port(3100, "observatory", "logs"),
    "prometheus": Port(9090, "observatory", "metrics"),
    "mailpit": Port(8025, "observatory", "the mailbox"),
    "smtp": Port(1025, "observatory", "SMTP"),
}


def list_conflicts(ports: Iterable[tuple[Port, int]]) -> list[str]:
    """Return one line for each of the `(port, number in this stack)` pairs that is not free."""
    return [_explain(port, number) for port, number in ports if not _free(number)]


def _free(number: int) -> bool:
    """Return whether the port is free, also on IPv6: another process on [::1] would receive requests to localhost."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, number))
                probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
    return True


def _explain(port: Port, number: int) -> str:
    holder = _holder(number)
    another = number - port.number + 100
    return (
        f"port {number} is taken{f' by {holder}' if holder else ''}; {port.process} needs it for {port.purpose}. "
        f"{'Stop it' if holder else 'Free it'}, or use another offset: "
        f"HOPLINE_PORT_OFFSET={another} make up"
    )


def _holder(number: int) -> str | None:
    """Return the name of the process that listens there; None if it is not visible, as other users' processes are."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid and number in connection.laddr:
            try:
                process = psutil.Process(connection.pid)
                return f"{' '.join(process.cmdline()[:4]) or process.name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None
