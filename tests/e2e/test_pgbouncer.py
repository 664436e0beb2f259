"""An order's journey through PgBouncer in transaction mode."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from hopline_client import api
from testkit.mailpit import wait_for_order_emails
from testkit.servers import require_pgbouncer
from testkit.shopper import Shopper
from testkit.stack import Stack, running_stack, selected_mode
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("own-stack")

SETTINGS = {"HOPLINE_PGBOUNCER": "1", "POSTGRES_MAX_CONNECTIONS": "100"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a separate stack with PgBouncer, instead of the shared stack."""
    if selected_mode() == "embedded":  # in Compose, PgBouncer is an image
        require_pgbouncer()
    home = tmp_path_factory.mktemp("pgbouncer")
    with running_stack(home, settings=SETTINGS, tap=False) as stack:
        if not stack.is_ours:
            pytest.skip("needs a stack with PgBouncer, so it does not use the stack of HOPLINE_GATEWAY_URL")
        yield stack


async def complete_order(stack: Stack, shopper: Shopper) -> None:
    """Place an order, and wait until it is shipped and all three emails of the shopper have arrived."""
    sku = (await shopper.products())[0]["sku"]
    async with shopper.device() as device:
        placed = await shopper.place_order((sku, 1))
        assert placed.status_code == 201, placed.text
        await device.wait_for("order.placed", "order.packed", "order.shipped")
    assert (await shopper.call(api.get_order(placed.json()["id"])))["status"] == "shipped"
    await wait_for_order_emails(stack, shopper.email)


class TestJourney:
    async def test_order_is_shipped_while_only_relays_connect_to_postgres(self, stack: Stack, shopper: Shopper) -> None:
        await complete_order(stack, shopper)
        count = stack.operator.connections
        for name, relays in (("users", 1), ("orders", 1), ("notifications", 0), ("worker", 0), ("report-worker", 0)):
            assert count(name, "postgres") == relays, name
            assert count(name, "pgbouncer") > 0, name
        assert count("pgbouncer", "postgres") > 0

    async def test_status_shows_the_sum_of_connections(self, stack: Stack) -> None:
        status = await asyncio.to_thread(stack.operator.run, "status")
        # PostgreSQL reserves three of the 100 connections for superusers.
        assert "connections: pgbouncer 40 + users 1 + orders 1 + reserve 20 = 62 of 97" in status.stdout


class TestOutages:
    @pytest.mark.parametrize("name", ["pgbouncer", "postgres"])
    async def test_orders_succeed_again_after_a_crash(self, stack: Stack, shopper: Shopper, name: str) -> None:
        killed_pid = await asyncio.to_thread(stack.operator.kill, name)

        async def is_restarted() -> bool:
            process = await asyncio.to_thread(stack.operator.process, name)
            return bool(process["state"] == "RUNNING" and process["pid"] != killed_pid)

        await eventually(is_restarted, what=f"{name} after its crash")
        for service in ("users", "orders", "notifications"):
            await eventually(
                partial(asyncio.to_thread, stack.operator.is_ready, service), what=f"{service} to be ready"
            )
        await complete_order(stack, shopper)
