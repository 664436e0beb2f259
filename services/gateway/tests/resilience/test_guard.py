"""How the parts go together around one call."""

import asyncio

import pytest
from starlette.datastructures import Headers

from gateway.answers import Answer
from gateway.errors import CircuitOpen
from gateway.resilience.breaker import State
from gateway.resilience.guard import Guard
from gateway.settings import ResilienceSettings
from testkit.metrics import Metrics
from testkit.waiting import eventually


class Service:
    """Answers with `status` once `open` is set, and counts how often it was asked."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.status = 200
        self.retry_after = "0"
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def answer(self, number: int) -> Answer:
        self.asked += 1
        await self.open.wait()
        headers = Headers({"Retry-After": self.retry_after})
        return Answer(path="/", status=self.status, headers=headers, body=b"")

    async def read(self, times: int = 1, *, timeout_s: float = 30) -> list[int]:
        return [(await self.guard.call("GET", {}, self.answer, timeout_s=timeout_s)).status for _ in range(times)]


@pytest.fixture
def service() -> Service:
    """One whose retries are all paid for."""
    return Service(Guard(name="orders", settings=ResilienceSettings(retry_budget=1, upstream_attempts=3)))


class TestGuard:
    async def test_a_call_has_so_many_attempts_and_no_more(self, service: Service) -> None:
        await service.read(20)
        service.status = 503
        service.asked = 0
        assert await service.read() == [503]
        assert service.asked == 3

    async def test_the_call_that_opens_the_circuit_is_told_why_and_not_that_it_is_open(self, service: Service) -> None:
        await service.read(10)
        service.status = 502
        while service.guard.breaker.state is State.CLOSED:
            assert await service.read() == [502]
        assert service.guard.budget.saved > 0, "a retry could have been paid for"
        with pytest.raises(CircuitOpen):
            await service.read()

    async def test_all_attempts_share_the_time_of_the_call(self, service: Service) -> None:
        await service.read(20)
        service.status, service.retry_after = 503, "2"
        service.asked = 0
        assert await service.read(timeout_s=1) == [503]
        assert service.asked == 1

    async def test_a_hedge_is_paid_from_the_budget(self, counted: Metrics) -> None:
        settings = ResilienceSettings(retry_budget=0, hedge_after_seconds=0.01)
        service = Service(Guard(name="orders", settings=settings))
        service.open.clear()
        answer = asyncio.create_task(service.read())
        await eventually(lambda: counted.value("hopline.gateway.hedges", {"hopline.paid": False}))
        service.open.set()
        assert await answer == [200]
        assert service.asked == 1

    async def test_a_place_is_given_back_whatever_happens(self, service: Service) -> None:
        service.status = 500
        await service.read(10)
        for _ in range(1_000):
            with pytest.raises(CircuitOpen):
                await service.read()
        assert service.guard.state()["calls_in_flight"] == 0
