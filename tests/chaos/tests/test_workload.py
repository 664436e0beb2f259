"""A workload completes exactly the requested number of operations, and reports that orders do not succeed."""

import asyncio
import random
from collections.abc import Callable

import httpx
import pytest

from chaos.customer import Customer
from chaos.history import History, Outcome
from chaos.workload import Workload
from hopline_client.models import User
from testkit.shopper import Shopper
from testkit.waiting import TIMEOUT_S

OUT_OF_STOCK = {"type": "https://hopline.example/problems/out-of-stock"}


def reject(_request: httpx.Request) -> httpx.Response:
    """Reject every request, so that no customer has an order to cancel."""
    return httpx.Response(409, json=OUT_OF_STOCK)


def be_unavailable(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(503, headers={"Retry-After": "1"})


def place(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(201, json={"id": "order-1"})


Respond = Callable[[httpx.Request], httpx.Response]


def create_customers(number: int, history: History, respond: Respond = reject) -> list[Customer]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="http://gateway")
    ada: User = {"id": "ada", "email": "ada@example.com", "name": "Ada", "role": "customer", "created_at": ""}
    shopper = Shopper(http=client, user=ada, trace_id="t")
    return [Customer(shopper=shopper, history=history, rng=random.Random(seed)) for seed in range(number)]  # noqa: S311 - no secret


def create_workload(customers: int, respond: Respond = reject) -> Workload:
    history = History()
    return Workload(
        history=history,
        customers=create_customers(customers, history, respond),
        devices=[],
        rng=random.Random(1),  # noqa: S311 - no secret
        max_operations=0,
    )


class TestProgress:
    async def test_each_act_is_one_operation_when_there_is_nothing_to_cancel(self) -> None:
        history = History()
        [customer] = create_customers(1, history)
        for acts in range(1, 101):
            await customer.act()
            assert len(history.operations) == acts
        assert history.outcomes().keys() == {Outcome.FAILED}

    async def test_progress_completes_exactly_the_requested_operations(self) -> None:
        workload = create_workload(8)
        async with asyncio.timeout(TIMEOUT_S), workload.acting():
            await workload.progress(16)
        assert len(workload.history.operations) == 16


class TestOrder:
    async def test_wait_ends_when_an_order_succeeds(self) -> None:
        await create_workload(1, place).wait_for_order(TIMEOUT_S)

    async def test_error_is_raised_when_the_shop_stays_unavailable(self) -> None:
        with pytest.raises(AssertionError, match="a successful order"):
            await create_workload(1, be_unavailable).wait_for_order(timeout_s=0.05)
