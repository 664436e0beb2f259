"""Which processor core does what: the servers under test on one, those who ask and who answer them on another.

Otherwise the load generator would take its share from the server, and the faster server would pay more of it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Core(Enum):
    """A role; on a machine with one core all roles share it."""

    SERVER = 0
    LOAD = 1

    @property
    def number(self) -> int:
        """Its core: of those this process may use, so that a limited container is respected."""
        allowed = available()
        return allowed[self.value % len(allowed)]


def available() -> list[int]:
    """The cores this process may use."""
    if sys.platform != "linux":
        return list(range(os.cpu_count() or 1))
    return _ALLOWED


_ALLOWED = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


@contextmanager
def started_on(core: Core | None) -> Iterator[None]:
    """Processes started inside of the block stay on that core, with their children; None is any core.

    Where the system cannot pin (macOS), nothing happens, and the figures are a little less sharp.
    """
    if core is None or sys.platform != "linux":
        yield
        return
    os.sched_setaffinity(0, {core.number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, _ALLOWED)


def described() -> str:
    """One line for the report: how the cores are split."""
    if sys.platform != "linux":
        return "not pinned: this system has no way to"
    if Core.SERVER.number == Core.LOAD.number:
        return f"one core ({Core.SERVER.number}) for everything: load and server take from each other"
    return f"servers on core {Core.SERVER.number}; load, stand-ins and stores on core {Core.LOAD.number}"
