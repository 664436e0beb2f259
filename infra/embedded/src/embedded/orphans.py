"""Finds and stops processes of this stack that lost their supervisor, for example after a kill -9 of supervisord.

Python processes are identified by a variable in their environment, which processes of other stacks and shells do not
have. The two stores overwrite their environment. They are identified by their pid files and their working directory,
because a pid file that survived a reboot may name another process.
"""

import signal
from collections.abc import Callable, Collection, Iterator
from time import monotonic, sleep

import psutil

from embedded.environment import STACK_VARIABLE
from embedded.errors import EmbeddedError
from embedded.stack import Stack

STOP_TIMEOUT_S = 20
POLL_INTERVAL_S = 0.05


def find(stack: Stack) -> list[psutil.Process]:
    """Return all processes of this stack except the current one, with or without supervisor."""
    found = {process.pid: process for process in (*_stores(stack), *_marked(stack))}
    return list(found.values())


def stop(processes: list[psutil.Process]) -> None:
    """Stop the processes gracefully, and kill them after 20 s. Raises EmbeddedError if one remains."""
    for process in processes:
        _send(process)
    running = wait(processes, timeout_s=STOP_TIMEOUT_S)
    for process in running:
        _send(process, signal.SIGKILL)
    if running := wait(running, timeout_s=STOP_TIMEOUT_S):
        pids = " ".join(str(process.pid) for process in running)
        raise EmbeddedError(f"processes of an earlier start do not stop: kill -9 {pids}")


def wait(
    processes: Collection[psutil.Process], *, timeout_s: float, between: Callable[[], None] = lambda: None
) -> list[psutil.Process]:
    """Wait until the processes have ended, at most `timeout_s`; return those that still run.

    `between` is called in each interval. A zombie has ended. `psutil.wait_procs` would wait until its parent reaps it,
    and in a container the first process may do this late or never.
    """
    deadline = monotonic() + timeout_s
    while (running := [process for process in processes if _runs(process)]) and monotonic() < deadline:
        between()
        sleep(POLL_INTERVAL_S)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, number: signal.Signals | None = None) -> None:
    """Send the signal `number`, or the one that stops the process gracefully."""
    try:
        process.send_signal(number or _stop_signal(process))
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise EmbeddedError(f"pid {process.pid} was started by another account: stop it there, or as root") from None


def _stop_signal(process: psutil.Process) -> signal.Signals:
    is_postgres = process.name().startswith("postgres")  # SIGTERM would wait until all clients disconnect
    return signal.SIGINT if is_postgres else signal.SIGTERM


def _marked(stack: Stack) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(STACK_VARIABLE) == str(stack.home) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:  # the process ended, or belongs to another user
            continue


def _stores(stack: Stack) -> Iterator[psutil.Process]:
    for pidfile in (stack.home / "postgres/data/postmaster.pid", stack.home / "valkey/valkey.pid"):
        try:
            process = psutil.Process(int(pidfile.read_text().split()[0]))
            if process.cwd() == str(pidfile.parent.resolve()):
                yield process
        except (OSError, ValueError, IndexError, psutil.Error):
            continue
