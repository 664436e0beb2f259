"""A separate stack for each test: a home that is removed afterwards, and free ports."""

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
    folder.chmod(0o711)  # PostgreSQL's account must reach it, unlike pytest's temporary folders
    yield Stack(folder / "home", free_offset(PORTS.values()))
    shutil.rmtree(folder)
