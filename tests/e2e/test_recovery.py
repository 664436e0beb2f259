"""A killed process restarts within seconds, and the journey works again."""

from functools import partial

import httpx
import pytest

from hopline_client.api import ProblemError
from hopline_client.device import DisconnectedError
from testkit.operators import SERVICES
from testkit.shopper import Device, register
from testkit.stack import Stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

RESTART_S = 30


@pytest.fixture(autouse=True)
def own_stack_only(stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("kills processes, so it needs a stack that the tests started")


class TestKilledProcess:
    @pytest.mark.parametrize("name", ["gateway", "users", "orders", "notifications", "worker", "redis"])
    async def test_journey_works_when_a_killed_process_restarted(
        self, stack: Stack, gateway: httpx.AsyncClient, name: str
    ) -> None:
        operator = stack.operator
        killed = operator.kill(name)

        def back() -> bool:
            process = operator.process(name)
            is_another = process["state"] == "RUNNING" and process["pid"] != killed
            return is_another and (name not in SERVICES or operator.is_ready(name))

        await eventually(back, RESTART_S, f"{name} back")
        await eventually(lambda: operator.is_ready("gateway"), RESTART_S, "the gateway ready")
        await self._journey(gateway)

    async def test_journey_works_after_postgres_restarts(self, stack: Stack, gateway: httpx.AsyncClient) -> None:
        operator = stack.operator
        killed = operator.kill("postgres")

        def back() -> bool:
            return operator.process("postgres")["pid"] not in {killed, None} and all(map(operator.is_ready, SERVICES))

        await eventually(back, RESTART_S, "every service ready")
        await self._journey(gateway)

    @staticmethod
    async def _journey(gateway: httpx.AsyncClient) -> None:
        shopper = await register(gateway)
        sku = (await shopper.products())[5]["sku"]
        async with shopper.device() as device:
            placed = await shopper.place_order((sku, 1))
            assert placed.status_code == 201, placed.text
            frames = await device.received("user.registered", "order.shipped", timeout=RESTART_S)
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


class TestOrdersOfAKilledProcess:
    async def test_acknowledged_orders_are_delivered_when_every_process_is_killed(
        self, stack: Stack, gateway: httpx.AsyncClient
    ) -> None:
        shopper = await register(gateway)
        sku = (await shopper.products())[6]["sku"]
        placed = [(await shopper.place_order((sku, 1))).json()["id"] for _ in range(5)]
        for name in ("orders", "notifications", "worker", "redis"):
            stack.operator.kill(name)

        async def shipped() -> bool:
            try:
                async with shopper.device() as device:
                    await eventually(partial(_has_caught_up, device), what="the notifications up to the head")
                    delivered = [f["data"]["order_id"] for f in device.frames if f["kind"] == "order.shipped"]
            except (httpx.TransportError, ProblemError, DisconnectedError, AssertionError):
                return False
            return sorted(delivered) == sorted(placed)

        await eventually(shipped, 60, "every order shipped exactly once")


def _has_caught_up(device: Device) -> bool:
    return len(device.frames) >= int(device.welcome["head"])
