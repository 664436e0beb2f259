"""Bulkhead, circuit breaker, hedge, retries and budget work together in the calls to one service."""

import asyncio
from functools import partial

import pytest
from starlette.datastructures import Headers

from gateway.errors import CircuitOpenError, UpstreamTimeoutError
from gateway.resilience.breaker import State
from gateway.resilience.pipeline import MIN_TIME_S, ResiliencePipeline
from gateway.responses import UpstreamResponse
from gateway.settings import ResilienceSettings
from shared.context import Deadline
from shared.errors.problems import ProblemError
from testkit.metrics import RecordedMetrics
from testkit.waiting import eventually


class FakeUpstream:
    """Raises `error`, or responds with `status` and `retry_after` after `released` is set, and counts the attempts."""

    def __init__(self, pipeline: ResiliencePipeline) -> None:
        self.pipeline = pipeline
        self.status = 200
        self.retry_after = "0"
        self.error: ProblemError | None = None
        self.attempts = 0
        self.released = asyncio.Event()
        self.released.set()

    async def respond(self, _attempt: int) -> UpstreamResponse:
        self.attempts += 1
        if self.error:
            raise self.error
        await self.released.wait()
        headers = Headers({"Retry-After": self.retry_after})
        return UpstreamResponse(path="/", status=self.status, headers=headers, body=b"")

    async def read(self, times: int = 1, *, timeout_s: float = 30) -> list[int]:
        """Make `times` calls, one after the other, and return the statuses of their responses."""
        call = partial(self.pipeline.call, self.respond, timeout_s=timeout_s, repeatable=True, may_hedge=True)
        return [(await call()).status for _ in range(times)]


MAX_ATTEMPTS = 3
CALLS_THAT_FILL_THE_BUDGET = 20
FAILURES_THAT_OPEN_THE_CIRCUIT = 10


@pytest.fixture
def service() -> FakeUpstream:
    """Return a service whose retry budget allows one retry for each call."""
    settings = ResilienceSettings(retry_budget=1, upstream_attempts=MAX_ATTEMPTS)
    return FakeUpstream(ResiliencePipeline(name="orders", settings=settings))


class TestResiliencePipeline:
    async def test_attempts_are_limited_when_all_fail(self, service: FakeUpstream) -> None:
        await service.read(CALLS_THAT_FILL_THE_BUDGET)
        service.status = 503
        service.attempts = 0
        assert await service.read() == [503]
        assert service.attempts == MAX_ATTEMPTS

    async def test_call_that_opens_the_circuit_gets_the_upstream_error(self, service: FakeUpstream) -> None:
        await service.read(CALLS_THAT_FILL_THE_BUDGET)
        service.status = 502
        while service.pipeline.breaker.state is State.CLOSED:
            assert await service.read() == [502]
        assert service.pipeline.budget.balance > 0, "the budget would have allowed a retry"
        with pytest.raises(CircuitOpenError):
            await service.read()

    async def test_call_is_not_retried_when_retry_after_exceeds_its_timeout(self, service: FakeUpstream) -> None:
        await service.read(CALLS_THAT_FILL_THE_BUDGET)
        service.status, service.retry_after = 503, "2"
        service.attempts = 0
        assert await service.read(timeout_s=1) == [503]
        assert service.attempts == 1

    async def test_hedge_is_not_started_when_the_budget_is_empty(self, metrics: RecordedMetrics) -> None:
        without_retries = ResilienceSettings(retry_budget=0, retries_per_second=0, hedge_after_seconds=0.01)
        service = FakeUpstream(ResiliencePipeline(name="orders", settings=without_retries))
        service.released.clear()
        response = asyncio.create_task(service.read())
        await eventually(lambda: metrics.value("hopline.gateway.hedges", {"hopline.paid": False}))
        service.released.set()
        assert await response == [200]
        assert service.attempts == 1

    @pytest.mark.parametrize(
        ("timeout_s", "left_s", "state"),
        [(30, MIN_TIME_S / 2, State.CLOSED), (MIN_TIME_S * 0.8, 30, State.OPEN)],
        ids=["a client with a short deadline", "a short timeout of the service"],
    )
    async def test_timeout_opens_the_circuit_only_when_the_service_had_enough_time(
        self, service: FakeUpstream, timeout_s: float, left_s: float, state: State
    ) -> None:
        service.error = UpstreamTimeoutError()
        for _ in range(FAILURES_THAT_OPEN_THE_CIRCUIT):
            with Deadline(left_s), pytest.raises(UpstreamTimeoutError):
                await service.read(timeout_s=timeout_s)
        assert service.pipeline.breaker.state is state

    async def test_slot_is_released_when_the_call_fails_or_is_rejected(self, service: FakeUpstream) -> None:
        service.status = 500
        await service.read(FAILURES_THAT_OPEN_THE_CIRCUIT)
        for _ in range(10 * service.pipeline.bulkhead.max_concurrent):
            with pytest.raises(CircuitOpenError):
                await service.read()
        assert service.pipeline.state()["calls_in_flight"] == 0
