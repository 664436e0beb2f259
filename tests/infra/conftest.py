"""Fixtures of the tests of the Makefile and of the scripts for Kubernetes."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]
