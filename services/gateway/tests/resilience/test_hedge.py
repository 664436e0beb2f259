"""A second call is started if the first one is slow, and the first result is returned."""

import asyncio

import pytest
from services.gateway.tests.conftest import OpenGateway, Services

from gateway.resilience.hedge import call_with_hedge
from testkit.metrics import RecordedMetrics
from testkit.waiting import eventually


class Replicas:
    """Each call waits for the result that the test sets on the call's future in `calls`."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[str]] = []
        self.cancelled = 0

    async def call(self) -> str:
        result = asyncio.get_running_loop().create_future()
        self.calls.append(result)
        try:
            return str(await result)
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a cancelled call takes time to close its connection
            self.cancelled += 1
            raise

    async def wait_for_calls(self, number: int) -> None:
        await eventually(lambda: len(self.calls) == number)


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


def start_read(replicas: Replicas, *, after_s: float = 0.001, may_hedge: bool = True) -> asyncio.Task[str]:
    """Start a read that is hedged after `after_s` seconds."""
    return asyncio.create_task(call_with_hedge(replicas.call, after_s=after_s, may_hedge=lambda: may_hedge))


class TestHedge:
    async def test_no_hedge_is_started_when_the_first_call_is_fast(self, replicas: Replicas) -> None:
        result = start_read(replicas, after_s=60)
        await replicas.wait_for_calls(1)
        replicas.calls[0].set_result("first")
        assert await result == "first"
        assert len(replicas.calls) == 1

    async def test_first_call_is_cancelled_when_the_hedge_succeeds(self, replicas: Replicas) -> None:
        result = start_read(replicas)
        await replicas.wait_for_calls(2)
        replicas.calls[1].set_result("second")
        assert await result == "second"
        assert replicas.cancelled == 1

    async def test_first_call_is_awaited_when_the_hedge_fails(self, replicas: Replicas) -> None:
        result = start_read(replicas)
        await replicas.wait_for_calls(2)
        replicas.calls[1].set_exception(ConnectionResetError())
        await asyncio.wait([result], timeout=0.01)  # so that the failure is processed before the first call ends
        replicas.calls[0].set_result("first")
        assert await result == "first"

    @pytest.mark.parametrize("failed", [0, 1])
    async def test_success_is_returned_when_one_call_succeeds_and_one_fails_simultaneously(self, failed: int) -> None:
        """Ten reads, because `asyncio.wait` returns the ended calls in any order."""
        for _ in range(10):
            replicas = Replicas()
            result = start_read(replicas)
            await replicas.wait_for_calls(2)
            replicas.calls[failed].set_exception(ConnectionResetError())
            replicas.calls[1 - failed].set_result("success")
            assert await result == "success"

    async def test_error_is_raised_when_both_calls_fail(self, replicas: Replicas) -> None:
        result = start_read(replicas)
        await replicas.wait_for_calls(2)
        for call in replicas.calls:
            call.set_exception(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await result

    async def test_no_hedge_is_started_when_it_is_not_allowed(self, replicas: Replicas) -> None:
        result = start_read(replicas, may_hedge=False)
        await replicas.wait_for_calls(1)
        await asyncio.wait([result], timeout=0.05)
        replicas.calls[0].set_result("first")
        assert await result == "first"
        assert len(replicas.calls) == 1

    async def test_both_calls_are_cancelled_when_the_caller_is_cancelled(self, replicas: Replicas) -> None:
        result = start_read(replicas)
        await replicas.wait_for_calls(2)
        result.cancel()
        with pytest.raises(asyncio.CancelledError):
            await result
        assert replicas.cancelled == 2


class TestHedgedReads:
    async def test_read_is_hedged_when_its_response_is_late(
        self, open_gateway: OpenGateway, services: Services, metrics: RecordedMetrics
    ) -> None:
        services.orders.respond("GET", "/products/mug", {})
        async with open_gateway(hedge_after_seconds=0.2) as gateway:
            services.orders.hang_first("GET", "/products/mug")
            assert (await gateway.get("/v2/products/mug")).status_code == 200
            await eventually(lambda: services.orders.disconnected.count("/products/mug") == 1)
        assert len(services.orders.requests_for("GET", "/products/mug")) == 2
        assert metrics.value("hopline.gateway.hedges", {"service.peer.name": "orders", "hopline.paid": True}) >= 1

    async def test_write_is_not_hedged_when_its_response_is_late(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.hang("POST", "/orders")
        headers = {**customer_headers, "Idempotency-Key": "k"}
        async with open_gateway(hedge_after_seconds=0.05, upstream_seconds=1) as gateway:
            assert (await gateway.post("/v2/orders", headers=headers, json={})).status_code == 504
        assert len(services.orders.requests_for("POST", "/orders")) == 1

    async def test_hedging_is_off_by_default(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hang("GET", "/products")
        async with open_gateway(upstream_seconds=1) as gateway:
            assert (await gateway.get("/v2/products")).status_code == 504
        assert len(services.orders.requests_for("GET", "/products")) == 1
