"""Assigns processor cores: servers under test use one core, load generators and fakes another.

Otherwise the load generator would take CPU time from the server under test, and more from a faster server.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Core(Enum):
    """A role of processes. On a machine with one core, all roles share it."""

    SERVER = 0
    LOAD = 1

    @property
    def number(self) -> int:
        """The number of the core for this role, one of those that this process may use."""
        allowed = available_cores()
        return allowed[self.value % len(allowed)]


def available_cores() -> list[int]:
    """Return the cores that this process may use, which a container can limit."""
    if sys.platform != "linux":
        return list(range(os.cpu_count() or 1))
    return _ALLOWED


_ALLOWED = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


@contextmanager
def started_on(core: Core | None) -> Iterator[None]:
    """Pin processes that are started within the block, and their children, to a core; None means any core.

    macOS cannot pin a process. There the block has no effect, and the figures are less precise.
    """
    if core is None or sys.platform != "linux":
        yield
        return
    os.sched_setaffinity(0, {core.number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, _ALLOWED)


def describe_cores() -> str:
    """Return one line for the report: which processes run on which core."""
    if sys.platform != "linux":
        return "not pinned: this system does not support it"
    if Core.SERVER.number == Core.LOAD.number:
        return f"one core ({Core.SERVER.number}) for everything: load and server compete for it"
    return f"servers on core {Core.SERVER.number}; load, fakes and stores on core {Core.LOAD.number}"
