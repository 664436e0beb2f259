"""Any process can be killed: it is back within seconds, and the journey works again."""

import httpx
import pytest

from testkit.operators import SERVICES
from testkit.shopper import register
from testkit.stack import Stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

RESTART_S = 30


@pytest.fixture(autouse=True)
def own_stack_only(stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("kills processes: only on a stack of our own")


class TestKilledProcess:
    @pytest.mark.parametrize("name", ["gateway", "users", "orders", "notifications", "worker", "redis"])
    async def test_is_back_and_the_journey_works(self, stack: Stack, gateway: httpx.AsyncClient, name: str) -> None:
        operator = stack.operator
        killed = operator.kill(name)

        def back() -> bool:
            process = operator.process(name)
            is_another = process["state"] == "RUNNING" and process["pid"] != killed
            return is_another and (name not in SERVICES or operator.is_ready(name))

        await eventually(back, RESTART_S, f"{name} back")
        await eventually(lambda: operator.is_ready("gateway"), RESTART_S, "the gateway ready")
        await self._journey(gateway)

    async def test_postgres_included(self, stack: Stack, gateway: httpx.AsyncClient) -> None:
        operator = stack.operator
        killed = operator.kill("postgres")

        def back() -> bool:
            return operator.process("postgres")["pid"] not in {killed, None} and all(map(operator.is_ready, SERVICES))

        await eventually(back, RESTART_S, "every service ready")
        await self._journey(gateway)

    @staticmethod
    async def _journey(gateway: httpx.AsyncClient) -> None:
        shopper = await register(gateway)
        sku = (await gateway.get("/v2/products")).json()["items"][5]["sku"]
        async with shopper.device() as device:
            placed = await shopper.place_order((sku, 1))
            assert placed.status_code == 201, placed.text
            frames = await device.received("user.registered", "order.shipped", timeout=RESTART_S)
        assert sorted(frame["seq"] for frame in frames) == list(range(1, len(frames) + 1))


class TestOrdersOfAKilledProcess:
    async def test_what_was_acknowledged_is_delivered_though_everything_died(
        self, stack: Stack, gateway: httpx.AsyncClient
    ) -> None:
        shopper = await register(gateway)
        sku = (await gateway.get("/v2/products")).json()["items"][6]["sku"]
        placed = [(await shopper.place_order((sku, 1))).json()["id"] for _ in range(5)]
        for name in ("orders", "notifications", "worker", "redis"):
            stack.operator.kill(name)

        async def shipped() -> bool:
            try:
                async with shopper.device() as device:
                    await device.received(timeout=1)
                    delivered = [f["data"]["order_id"] for f in device.frames if f["kind"] == "order.shipped"]
            except (httpx.HTTPError, OSError, AssertionError):
                return False
            return sorted(delivered) == sorted(placed)

        await eventually(shipped, 60, "every order shipped exactly once")
