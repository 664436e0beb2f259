"""A customer repeats a request until a response is final, and records the outcome."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from chaos.customer import Customer
from chaos.history import Action, History, Operation, Outcome
from hopline_client.models import User
from testkit.shopper import Shopper
from testkit.waiting import eventually

CREATED = (201, {"id": "order-1"})
IN_FLIGHT = (409, {"type": "https://hopline.example/problems/idempotency-key-in-flight"})
REJECTED = (409, {"type": "https://hopline.example/problems/out-of-stock"})
ADA: User = {
    "id": "ada",
    "email": "ada@example.com",
    "name": "Ada",
    "role": "customer",
    "created_at": "2026-01-01T00:00:00Z",
}
UNAVAILABLE: tuple[int, dict[str, Any]] = (503, {})
LOST = None

Response = tuple[int, Mapping[str, Any]] | None


class FixedChoices(random.Random):
    """Choose up to five attempts, no pauses, and no second request after a response."""

    def choice(self, seq: Any) -> Any:
        return seq[-1]

    def uniform(self, _a: float, _b: float) -> float:
        return 0.0

    def random(self) -> float:
        return 0.99


class RepeatingChoices(FixedChoices):
    """Choose the same, but send each request again after its response."""

    def random(self) -> float:
        return 0.0


class FakeGateway:
    """Returns these responses in order. Then it does not respond. `keys` has the received idempotency keys."""

    def __init__(self, *responses: Response) -> None:
        self._responses = list(responses)
        self.keys: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        if not self._responses:
            await asyncio.Event().wait()
        response = self._responses.pop(0)
        if response is None:
            raise httpx.ReadError("cut", request=request)
        status, body = response
        return httpx.Response(status, json=body)


async def create_customer(gateway: FakeGateway, rng: random.Random) -> tuple[Customer, History]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(gateway), base_url="http://gateway")
    shopper = Shopper(http=client, user=ADA, trace_id="t")
    history = History()
    return Customer(shopper=shopper, history=history, rng=rng), history


async def place_order(*responses: Response, rng: random.Random | None = None) -> tuple[Operation, FakeGateway]:
    """Place an order at a gateway with these responses, and return the recorded operation and the gateway."""
    gateway = FakeGateway(*responses)
    customer, history = await create_customer(gateway, rng or FixedChoices())
    await customer.place_order()
    [operation] = history.operations
    return operation, gateway


class TestPlace:
    @pytest.mark.parametrize(
        ("responses", "outcome"),
        [
            ([CREATED], Outcome.OK),
            ([LOST, UNAVAILABLE, CREATED], Outcome.OK),
            ([IN_FLIGHT, CREATED], Outcome.OK),
            ([REJECTED], Outcome.FAILED),
            ([IN_FLIGHT, REJECTED], Outcome.FAILED),
            ([LOST, REJECTED], Outcome.INDETERMINATE),
            ([UNAVAILABLE, REJECTED], Outcome.INDETERMINATE),
            ([LOST] * 5, Outcome.INDETERMINATE),
        ],
    )
    async def test_order_has_failed_only_when_every_attempt_has_a_client_error(
        self, responses: list[Response], outcome: Outcome
    ) -> None:
        operation, gateway = await place_order(*responses)
        assert operation.outcome is outcome
        assert operation.statuses == tuple(response[0] if response else 0 for response in responses)
        assert len(set(operation.traces)) == len(responses)
        assert set(gateway.keys) == {operation.key}

    async def test_both_responses_are_recorded_when_a_request_is_repeated_after_its_response(self) -> None:
        operation, _ = await place_order(CREATED, (201, {"id": "order-2"}), rng=RepeatingChoices())
        assert operation.responses == ("order-1", "order-2")

    async def test_operation_is_recorded_as_indeterminate_when_it_is_cancelled(self) -> None:
        gateway = FakeGateway()
        customer, history = await create_customer(gateway, FixedChoices())
        placing = asyncio.create_task(customer.place_order())
        await eventually(lambda: gateway.keys)
        placing.cancel()
        await asyncio.gather(placing, return_exceptions=True)
        [operation] = history.operations
        assert (operation.action, operation.outcome) == (Action.PLACE, Outcome.INDETERMINATE)
