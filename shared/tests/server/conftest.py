"""Servers that use the protocol classes, and the environment of those that run in child processes."""

from collections.abc import AsyncIterator

import pytest

from .protocol_server import ProtocolServer, ShortTimeouts, run_server


@pytest.fixture(autouse=True)
def delete_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete the setting of `hello_service`, which the child processes of a test would inherit."""
    monkeypatch.delenv("GREETING", raising=False)


@pytest.fixture
async def server() -> AsyncIterator[ProtocolServer]:
    async with run_server() as server:
        yield server


@pytest.fixture
async def quick_server() -> AsyncIterator[ProtocolServer]:
    """A server with timeouts of less than a second."""
    async with run_server(ShortTimeouts) as server:
        yield server
