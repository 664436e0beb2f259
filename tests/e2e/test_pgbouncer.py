"""An order's journey through PgBouncer in transaction mode."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial

import httpx
import pytest

from hopline_client import api
from testkit.servers import require_pgbouncer
from testkit.shopper import Shopper, register
from testkit.stack import Stack, running_stack, selected_mode
from testkit.waiting import TIMEOUT_S, eventually

pytestmark = pytest.mark.xdist_group("own-stack")

SETTINGS = {"HOPLINE_PGBOUNCER": "1", "POSTGRES_MAX_CONNECTIONS": "100"}


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A separate stack with PgBouncer, in parallel with tests of other stacks."""
    if selected_mode() == "embedded":  # Compose has an image
        require_pgbouncer()
    home = tmp_path_factory.mktemp("pooled")
    with running_stack(home, settings=SETTINGS, tap=False) as stack:
        if not stack.is_ours:
            pytest.skip("starts a stack with other settings")
        yield stack


@pytest.fixture
async def shopper(pooled: Stack) -> AsyncIterator[Shopper]:
    async with httpx.AsyncClient(base_url=pooled.gateway, timeout=TIMEOUT_S) as client:
        yield await register(client)


async def order(stack: Stack, shopper: Shopper) -> None:
    """Place an order and wait until it is shipped and every email has arrived."""
    sku = (await shopper.products())[0]["sku"]
    async with shopper.device() as device:
        placed = await shopper.place_order((sku, 1))
        assert placed.status_code == 201, placed.text
        await device.received("order.placed", "order.packed", "order.shipped")
    assert (await shopper.call(api.get_order(placed.json()["id"])))["status"] == "shipped"

    async def all_emails() -> bool:
        async with httpx.AsyncClient(base_url=stack.mailpit, timeout=TIMEOUT_S) as mailpit:
            found = (await mailpit.get("/api/v1/messages", params={"limit": 500})).raise_for_status().json()
        return sum(shopper.email in {to["Address"] for to in mail["To"]} for mail in found["messages"]) >= 3

    await eventually(all_emails, what="the welcome, the confirmation and the shipping email")


class TestJourney:
    async def test_order_is_placed_packed_and_shipped(self, pooled: Stack, shopper: Shopper) -> None:
        await order(pooled, shopper)

    async def test_only_relays_connect_to_postgres_directly(self, pooled: Stack, shopper: Shopper) -> None:
        await order(pooled, shopper)
        count = pooled.operator.connections
        for name, direct in (("users", 1), ("orders", 1), ("notifications", 0), ("worker", 0), ("report-worker", 0)):
            assert count(name, "postgres") == direct, name
            assert count(name, "pgbouncer") > 0, name
        assert count("pgbouncer", "postgres") > 0

    async def test_status_shows_the_sum(self, pooled: Stack) -> None:
        shown = await asyncio.to_thread(pooled.operator.run, "status")
        assert "connections: pgbouncer 40 + users 1 + orders 1 + reserve 20 = 62 of 97" in shown.stdout


class TestOutages:
    @pytest.mark.parametrize("name", ["pgbouncer", "postgres"])
    async def test_orders_succeed_again_after_a_crash(self, pooled: Stack, shopper: Shopper, name: str) -> None:
        before = await asyncio.to_thread(pooled.operator.kill, name)

        async def is_back() -> bool:
            found = await asyncio.to_thread(pooled.operator.process, name)
            return bool(found["state"] == "RUNNING" and found["pid"] != before)

        await eventually(is_back, what=f"{name} after its crash")
        for service in ("users", "orders", "notifications"):
            await eventually(
                partial(asyncio.to_thread, pooled.operator.is_ready, service), what=f"{service} to be ready"
            )
        await order(pooled, shopper)
