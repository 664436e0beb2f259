"""What a customer makes of answers, and what is on record of it."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from chaos.customer import Customer
from chaos.history import Action, History, Operation, Outcome
from testkit.shopper import Shopper
from testkit.waiting import eventually

CREATED = (201, {"id": "order-1"})
IN_FLIGHT = (409, {"type": "https://hopline.example/problems/idempotency-key-in-flight"})
REFUSED = (409, {"type": "https://hopline.example/problems/out-of-stock"})
AWAY: tuple[int, dict[str, Any]] = (503, {})
LOST = None

Answer = tuple[int, Mapping[str, Any]] | None


class Steady(random.Random):
    """Chance that asks as often as it may, without a pause, and presses no button twice."""

    def choice(self, seq: Any) -> Any:
        return seq[-1]

    def uniform(self, _a: float, _b: float) -> float:
        return 0.0

    def random(self) -> float:
        return 0.99


class Eager(Steady):
    """Chance that presses every button twice."""

    def random(self) -> float:
        return 0.0


class Gateway:
    """Gives these answers, one after another, then none for ever; `keys` are those that came."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.keys: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        if not self._answers:
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if answer is None:
            raise httpx.ReadError("cut", request=request)
        status, body = answer
        return httpx.Response(status, json=body)


async def customer(gateway: Gateway, chance: random.Random) -> tuple[Customer, History]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(gateway), base_url="http://gateway")
    tokens = {"access_token": "token"}
    shopper = Shopper(client=client, user={"id": "ada"}, email="ada@example.com", tokens=tokens, trace_id="t")
    history = History()
    return Customer(shopper=shopper, history=history, rng=chance), history


async def placed(*answers: Answer, chance: random.Random | None = None) -> tuple[Operation, Gateway]:
    gateway = Gateway(*answers)
    somebody, history = await customer(gateway, chance or Steady())
    await somebody.place()
    [operation] = history.operations
    return operation, gateway


class TestPlace:
    @pytest.mark.parametrize(
        ("answers", "outcome"),
        [
            ([CREATED], Outcome.OK),
            ([LOST, AWAY, CREATED], Outcome.OK),
            ([IN_FLIGHT, CREATED], Outcome.OK),
            ([REFUSED], Outcome.FAILED),
            ([IN_FLIGHT, REFUSED], Outcome.FAILED),
            ([LOST, REFUSED], Outcome.INDETERMINATE),
            ([AWAY, REFUSED], Outcome.INDETERMINATE),
            ([LOST] * 5, Outcome.INDETERMINATE),
        ],
    )
    async def test_is_refused_only_where_nothing_else_can_have_happened(
        self, answers: list[Answer], outcome: Outcome
    ) -> None:
        operation, gateway = await placed(*answers)
        assert operation.outcome is outcome
        assert operation.statuses == tuple(answer[0] if answer else 0 for answer in answers)
        assert len(set(operation.traces)) == len(answers)
        assert set(gateway.keys) == {operation.key}

    async def test_twice_has_both_answers_on_record(self) -> None:
        operation, _ = await placed(CREATED, (201, {"id": "order-2"}), chance=Eager())
        assert operation.answers == ("order-1", "order-2")

    async def test_that_is_broken_off_is_on_record(self) -> None:
        gateway = Gateway()
        somebody, history = await customer(gateway, Steady())
        placing = asyncio.create_task(somebody.place())
        await eventually(lambda: gateway.keys)
        placing.cancel()
        await asyncio.gather(placing, return_exceptions=True)
        [operation] = history.operations
        assert (operation.action, operation.outcome) == (Action.PLACE, Outcome.INDETERMINATE)
