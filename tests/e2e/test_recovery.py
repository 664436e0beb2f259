"""After a process was killed, it restarts, and the journey of an order works again."""

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

RESTART_TIMEOUT_S = 30


@pytest.fixture(autouse=True)
def own_stack_only(stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("kills processes, so it needs a stack that the tests started")


class TestKilledProcess:
    @pytest.mark.parametrize("name", ["gateway", "users", "orders", "notifications", "worker", "redis"])
    async def test_journey_works_after_the_process_has_restarted(
        self, stack: Stack, gateway: httpx.AsyncClient, name: str
    ) -> None:
        operator = stack.operator
        killed_pid = operator.kill(name)

        def is_restarted() -> bool:
            process = operator.process(name)
            is_new = process["state"] == "RUNNING" and process["pid"] != killed_pid
            return is_new and (name not in SERVICES or operator.is_ready(name))

        await eventually(is_restarted, RESTART_TIMEOUT_S, f"{name} to restart")
        await eventually(lambda: operator.is_ready("gateway"), RESTART_TIMEOUT_S, "the gateway to be ready")
        await self._complete_journey(gateway)

    async def test_journey_works_after_postgres_has_restarted(self, stack: Stack, gateway: httpx.AsyncClient) -> None:
        operator = stack.operator
        killed_pid = operator.kill("postgres")

        def is_restarted() -> bool:
            is_new = operator.process("postgres")["pid"] not in {killed_pid, None}
            return is_new and all(map(operator.is_ready, SERVICES))

        await eventually(is_restarted, RESTART_TIMEOUT_S, "postgres to restart and all services to be ready")
        await self._complete_journey(gateway)

    async def test_journey_works_after_every_process_has_restarted(
        self, stack: Stack, gateway: httpx.AsyncClient
    ) -> None:
        operator = stack.operator
        killed = {process["name"]: operator.kill(process["name"]) for process in operator.status()["processes"]}

        def are_restarted() -> bool:
            has_new_pids = all(operator.process(name)["pid"] not in {pid, 0, None} for name, pid in killed.items())
            return has_new_pids and all(map(operator.is_ready, SERVICES))

        await eventually(are_restarted, 3 * RESTART_TIMEOUT_S, "every process to restart")
        await self._complete_journey(gateway)

    @staticmethod
    async def _complete_journey(gateway: httpx.AsyncClient) -> None:
        """Register a customer, place an order, and wait until it is shipped."""
        shopper = await register(gateway)
        sku = (await shopper.products())[5]["sku"]
        async with shopper.device() as device:
            placed = await shopper.place_order((sku, 1))
            assert placed.status_code == 201, placed.text
            frames = await device.wait_for("user.registered", "order.shipped", timeout=RESTART_TIMEOUT_S)
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


class TestOrdersOfAKilledProcess:
    async def test_placed_orders_are_shipped_once_when_their_processes_and_redis_are_killed(
        self, stack: Stack, gateway: httpx.AsyncClient
    ) -> None:
        shopper = await register(gateway)
        sku = (await shopper.products())[6]["sku"]
        placed = [(await shopper.place_order((sku, 1))).json()["id"] for _ in range(5)]
        for name in ("orders", "notifications", "worker", "redis"):
            stack.operator.kill(name)

        async def all_are_shipped_once() -> bool:
            try:
                async with shopper.device() as device:
                    await eventually(partial(has_caught_up, device), what="the notifications up to the head")
                    shipped = [frame["data"]["order_id"] for frame in device.frames if frame["kind"] == "order.shipped"]
            except (httpx.TransportError, ProblemError, DisconnectedError, AssertionError):
                return False  # the processes have not restarted yet
            return sorted(shipped) == sorted(placed)

        await eventually(all_are_shipped_once, 2 * RESTART_TIMEOUT_S, "one shipping notification for each order")


def has_caught_up(device: Device) -> bool:
    """Return whether the device has received all notifications up to the head of its feed at connection time."""
    return len(device.frames) >= int(device.welcome["head"])
