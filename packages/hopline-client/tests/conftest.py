"""A client of a fake gateway with scripted responses."""

from collections.abc import AsyncIterator

import pytest

from hopline_client.backoff import Backoff, RetryPolicy
from hopline_client.rest import Client, open_client
from testkit.apps import serve
from testkit.fake_gateway import Gateway, Sockets


@pytest.fixture
def retry_policy() -> RetryPolicy:
    return RetryPolicy(retries=3, budget_s=5.0, backoff=Backoff(first_s=0.001, max_s=0.002))


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def client(gateway: Gateway, retry_policy: RetryPolicy) -> AsyncIterator[Client]:
    async with serve(gateway) as url, open_client(url, retry_policy=retry_policy) as client:
        yield client


@pytest.fixture
async def sockets(gateway: Gateway) -> AsyncIterator[Sockets]:
    sockets = Sockets(gateway)
    async with sockets.listening():
        yield sockets
