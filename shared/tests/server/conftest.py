"""Servers with the protocol classes."""

from collections.abc import AsyncIterator

import pytest

from .protocol_server import ProtocolServer, ShortTimeouts, run_server


@pytest.fixture
async def server() -> AsyncIterator[ProtocolServer]:
    async with run_server() as server:
        yield server


@pytest.fixture
async def quick_server() -> AsyncIterator[ProtocolServer]:
    async with run_server(ShortTimeouts) as server:
        yield server
