"""`Workload.progress` completes exactly the requested number of operations."""

import asyncio
import random

import httpx

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


def create_customers(number: int, history: History) -> list[Customer]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(reject), base_url="http://gateway")
    ada: User = {"id": "ada", "email": "ada@example.com", "name": "Ada", "role": "customer", "created_at": ""}
    shopper = Shopper(http=client, user=ada, trace_id="t")
    return [Customer(shopper=shopper, history=history, rng=random.Random(seed)) for seed in range(number)]  # noqa: S311 - no secret


class TestProgress:
    async def test_each_act_is_one_operation_when_there_is_nothing_to_cancel(self) -> None:
        history = History()
        [customer] = create_customers(1, history)
        for acts in range(1, 101):
            await customer.act()
            assert len(history.operations) == acts
        assert history.outcomes().keys() == {Outcome.FAILED}

    async def test_progress_completes_exactly_the_requested_operations(self) -> None:
        history = History()
        workload = Workload(
            history=history,
            customers=create_customers(8, history),
            devices=[],
            rng=random.Random(1),  # noqa: S311 - no secret
            max_operations=0,
        )
        async with asyncio.timeout(TIMEOUT_S), workload.acting():
            await workload.progress(16)
        assert len(history.operations) == 16
