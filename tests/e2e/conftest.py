"""The whole system, started once. All modules are in the group "stack", which pytest-xdist runs in one process."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from testkit.shopper import Shopper, register
from testkit.stack import Stack, running_stack
from testkit.waiting import TIMEOUT_S


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
async def gateway(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.gateway, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture
async def jaeger(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.jaeger, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture
async def shopper(gateway: httpx.AsyncClient) -> Shopper:
    return await register(gateway)
