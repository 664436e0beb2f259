"""Processes of this stack that lost their supervisor, as after a kill -9 of supervisord.

Python processes are recognised by the mark in their environment, which no other stack and no shell has. The two
stores overwrite theirs, so they are recognised by their pid files, checked against the folder they run in: a pid
file that survived a reboot names nobody or a stranger.
"""

import signal
from collections.abc import Iterator

import psutil

from embedded.environment import MARK
from embedded.errors import EmbeddedError
from embedded.stack import Stack

PATIENCE_S = 20


def find(stack: Stack) -> list[psutil.Process]:
    """Find every process of this stack, apart from our own, whoever supervises it."""
    found = {process.pid: process for process in (*_stores(stack), *_marked(stack))}
    return list(found.values())


def stop(processes: list[psutil.Process]) -> None:
    """Stop them gracefully, or after 20 s hard. Raises EmbeddedError if any remains."""
    for process in processes:
        _send(process, signal.SIGINT if process.name().startswith("postgres") else signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    for process in alive:
        _send(process, signal.SIGKILL)
    _, alive = psutil.wait_procs(alive, timeout=PATIENCE_S)
    if alive:
        pids = " ".join(str(process.pid) for process in alive)
        raise EmbeddedError(f"processes of an earlier start cannot be stopped: kill -9 {pids}")


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise EmbeddedError(f"pid {process.pid} was started by another account: stop it there, or as root") from None


def _marked(stack: Stack) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(stack.home) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:  # gone, or not ours to look into
            continue


def _stores(stack: Stack) -> Iterator[psutil.Process]:
    for pidfile in (stack.home / "postgres/data/postmaster.pid", stack.home / "valkey/valkey.pid"):
        try:
            process = psutil.Process(int(pidfile.read_text().split()[0]))
            if process.cwd() == str(pidfile.parent.resolve()):
                yield process
        except (OSError, ValueError, IndexError, psutil.Error):
            continue
