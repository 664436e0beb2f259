"""Connections to a peer of which every byte is known."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from services.gateway.tests.connections.peer import Peer, listening

from gateway.connections import Connections


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    one = Peer()
    async with listening(one):
        yield one


@pytest.fixture
async def connections(peer: Peer) -> AsyncIterator[Connections]:
    async with aclosing(Connections(name="orders", url=f"http://127.0.0.1:{peer.port}", at_most=3)) as some:
        yield some
