"""A stack of one's own: a home that is removed, and ports that nobody uses."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from embedded.ports import PORTS, taken
from embedded.stack import Stack


@pytest.fixture
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    folder.chmod(0o711)  # so that PostgreSQL's account reaches it, unlike pytest's own temporary folders
    yield Stack(folder / "home", _free_offset())
    shutil.rmtree(folder)


def _free_offset() -> int:
    """An offset at which every port is free now; random, so that test processes rarely meet.

    All ports are below 32768, where those begin that the system gives to clients between this look and the start.
    """
    candidates = Random().sample(range(1_000, 6_000, 7), k=100)  # noqa: S311 - no secret
    return next(offset for offset in candidates if not taken((port, port.number + offset) for port in PORTS.values()))
