"""Whoever waits for operations gets as many as they ask for, whatever customers choose to do."""

import asyncio
import random

import httpx

from chaos.crowd import Crowd
from chaos.customer import Customer
from chaos.history import History, Outcome
from testkit.shopper import Shopper
from testkit.waiting import PATIENCE_S

OUT_OF_STOCK = {"type": "https://hopline.example/problems/out-of-stock"}


def refuse(_request: httpx.Request) -> httpx.Response:
    """Refuse everything, so that no customer ever has an order to cancel."""
    return httpx.Response(409, json=OUT_OF_STOCK)


def customers(number: int, history: History) -> list[Customer]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(refuse), base_url="http://gateway")
    shopper = Shopper(
        client=client, user={"id": "ada"}, email="ada@example.com", tokens={"access_token": "token"}, trace_id="t"
    )
    return [Customer(shopper=shopper, history=history, rng=random.Random(seed)) for seed in range(number)]  # noqa: S311 - no secret


class TestProgress:
    async def test_each_act_is_one_operation_when_there_is_nothing_to_cancel(self) -> None:
        history = History()
        [customer] = customers(1, history)
        for acts in range(1, 101):
            await customer.act()
            assert len(history.operations) == acts
        assert history.outcomes().keys() == {Outcome.FAILED}

    async def test_returns_after_as_many_operations_as_it_allows(self) -> None:
        history = History()
        crowd = Crowd(history=history, customers=customers(8, history), devices=[], rng=random.Random(1), most=0)  # noqa: S311 - no secret
        async with asyncio.timeout(PATIENCE_S), crowd.acting():
            await crowd.progress(16)
        assert len(history.operations) == 16
