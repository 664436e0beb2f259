"""One call passes all parts of the pipeline."""

import asyncio

import pytest
from starlette.datastructures import Headers

from gateway.errors import CircuitOpenError
from gateway.resilience.breaker import State
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.responses import UpstreamResponse
from gateway.settings import ResilienceSettings
from testkit.metrics import Metrics
from testkit.waiting import eventually


class Service:
    """Responds with `status` after `open` is set, and counts the attempts."""

    def __init__(self, pipeline: ResiliencePipeline) -> None:
        self.pipeline = pipeline
        self.status = 200
        self.retry_after = "0"
        self.attempts = 0
        self.open = asyncio.Event()
        self.open.set()

    async def respond(self, number: int) -> UpstreamResponse:
        self.attempts += 1
        await self.open.wait()
        headers = Headers({"Retry-After": self.retry_after})
        return UpstreamResponse(path="/", status=self.status, headers=headers, body=b"")

    async def read(self, times: int = 1, *, timeout_s: float = 30) -> list[int]:
        return [(await self.pipeline.call("GET", {}, self.respond, timeout_s=timeout_s)).status for _ in range(times)]


@pytest.fixture
def service() -> Service:
    """Return a service with a retry budget for all its calls."""
    return Service(ResiliencePipeline(name="orders", settings=ResilienceSettings(retry_budget=1, upstream_attempts=3)))


class TestResiliencePipeline:
    async def test_attempts_are_limited_when_all_fail(self, service: Service) -> None:
        await service.read(20)
        service.status = 503
        service.attempts = 0
        assert await service.read() == [503]
        assert service.attempts == 3

    async def test_call_that_opens_the_circuit_gets_the_upstream_error(self, service: Service) -> None:
        await service.read(10)
        service.status = 502
        while service.pipeline.breaker.state is State.CLOSED:
            assert await service.read() == [502]
        assert service.pipeline.budget.balance > 0, "the budget would have allowed a retry"
        with pytest.raises(CircuitOpenError):
            await service.read()

    async def test_attempts_share_the_timeout_of_the_call(self, service: Service) -> None:
        await service.read(20)
        service.status, service.retry_after = 503, "2"
        service.attempts = 0
        assert await service.read(timeout_s=1) == [503]
        assert service.attempts == 1

    async def test_hedge_is_not_started_when_the_budget_is_empty(self, metrics: Metrics) -> None:
        settings = ResilienceSettings(retry_budget=0, retries_per_second=0, hedge_after_seconds=0.01)
        service = Service(ResiliencePipeline(name="orders", settings=settings))
        service.open.clear()
        response = asyncio.create_task(service.read())
        await eventually(lambda: metrics.value("hopline.gateway.hedges", {"hopline.paid": False}))
        service.open.set()
        assert await response == [200]
        assert service.attempts == 1

    async def test_slot_is_released_when_a_call_fails(self, service: Service) -> None:
        service.status = 500
        await service.read(10)
        for _ in range(1_000):
            with pytest.raises(CircuitOpenError):
                await service.read()
        assert service.pipeline.state()["calls_in_flight"] == 0
