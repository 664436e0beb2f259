"""A stack of one's own: a home that is removed, and ports that nobody uses."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.ports import PORTS
from embedded.stack import Stack
from testkit.stack import free_offset


@pytest.fixture
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    folder.chmod(0o711)  # so that PostgreSQL's account reaches it, unlike pytest's own temporary folders
    yield Stack(folder / "home", free_offset(PORTS.values()))
    shutil.rmtree(folder)
