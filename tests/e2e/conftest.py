"""The whole system, which all tests of a session share, and clients of it.

Modules that use the fixture `stack` are in the group "stack", because pytest-xdist runs a group in one process. So only
one process starts the system.
"""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from testkit.apps import http_client
from testkit.shopper import Shopper, register
from testkit.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return the stack that the environment names, or start one for the session."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(stack.gateway) as client:
        yield client


@pytest.fixture
async def jaeger(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(stack.jaeger) as client:
        yield client


@pytest.fixture
async def shopper(gateway: httpx.AsyncClient) -> Shopper:
    """Register a new customer, who is logged in."""
    return await register(gateway)
