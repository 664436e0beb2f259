"""The load of one run: customers and their devices, which continue during a fault and record what happens."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable

import httpx

from chaos.customer import MAX_OPERATION_S, TIMEOUT_S, Customer
from chaos.device import ResumingDevice
from chaos.history import Action, DeviceLog, History, Operation, Outcome
from testkit.shopper import Shopper, register
from testkit.waiting import TIMEOUT_S as CONDITION_TIMEOUT_S
from testkit.waiting import eventually

DEVICES = 3
"""Devices per customer."""

_MAX_THINK_TIME_S = 1.0
_SKU = "BOOK-HOPS"


class Workload:
    """The customers and devices of one run.

    The customers do `max_operations` operations, and in addition the operations that a caller waits for.
    """

    def __init__(
        self,
        *,
        history: History,
        customers: list[Customer],
        devices: list[ResumingDevice],
        rng: random.Random,
        max_operations: int,
    ) -> None:
        self.history = history
        self.devices = devices
        self.customers = customers
        self._rng = rng
        self._leaving = asyncio.Event()
        self._permits = asyncio.Semaphore(max_operations)

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """Let all customers act within the block. The end of the block waits for their current operations."""
        async with asyncio.TaskGroup() as tasks:
            for customer in self.customers:
                tasks.create_task(self._act(customer, _derive(self._rng)))
            try:
                yield
            finally:
                self._leaving.set()
                for _ in self.customers:
                    self._permits.release()

    async def progress(self, operations: int) -> None:
        """Wait for this number of further operations. Raises AssertionError on a timeout."""
        expected = len(self.history.operations) + operations
        for _ in range(operations):
            self._permits.release()
        timeout_s = operations * (MAX_OPERATION_S + _MAX_THINK_TIME_S)
        await eventually(lambda: len(self.history.operations) >= expected, timeout_s, f"{operations} operations")

    async def act_until(self, happened: Callable[[], object], what: str) -> None:
        """Let customers act until the condition is true. Raises AssertionError on a timeout.

        `happened` can be a function or a coroutine function.
        """

        async def has_happened() -> object:
            if self._permits.locked():
                self._permits.release()
            value = happened()
            return await value if isawaitable(value) else value

        await eventually(has_happened, CONDITION_TIMEOUT_S, what)

    async def wait_for_order(self, timeout_s: float) -> None:
        """Wait until a customer places an order successfully. Raises AssertionError on a timeout."""
        customer, *_ = self.customers

        async def is_placed() -> bool:
            return (await customer.place_order(only=_SKU, attempts=1)).outcome is Outcome.OK

        await eventually(is_placed, timeout_s, "a successful order")

    async def _act(self, customer: Customer, rng: random.Random) -> None:
        while True:
            await self._permits.acquire()
            if self._leaving.is_set():
                return
            await customer.act()
            await asyncio.sleep(rng.uniform(0, _MAX_THINK_TIME_S))


@asynccontextmanager
async def open_workload(
    gateway: str, *, customers: int, max_operations: int, rng: random.Random
) -> AsyncIterator[Workload]:
    """Register customers, and run their devices within the block. The history begins with the registrations."""
    history = History()
    async with httpx.AsyncClient(base_url=gateway, timeout=TIMEOUT_S) as http, asyncio.TaskGroup() as watching:
        acting, devices, tasks = list[Customer](), list[ResumingDevice](), list[asyncio.Task[None]]()
        for number in range(customers):
            shopper = await register(http)
            history.operations.append(_build_registration(shopper))
            acting.append(Customer(shopper=shopper, history=history, rng=_derive(rng)))
            for name in "abc"[:DEVICES]:
                log = DeviceLog(name=f"customer {number}, device {name}", user_id=shopper.user["id"])
                history.devices.append(log)
                devices.append(ResumingDevice(shopper=shopper, log=log, rng=_derive(rng)))
                tasks.append(watching.create_task(devices[-1].watch()))
        yield Workload(
            history=history, customers=acting, devices=devices, rng=_derive(rng), max_operations=max_operations
        )
        for task in tasks:
            task.cancel()


def _derive(rng: random.Random) -> random.Random:
    """Return a separate random source, so that concurrent tasks do not change each other's choices."""
    return random.Random(rng.random())  # noqa: S311 - no secret


def _build_registration(shopper: Shopper) -> Operation:
    return Operation(
        action=Action.REGISTER,
        outcome=Outcome.OK,
        key=shopper.email,
        user_id=shopper.user["id"],
        responses=(shopper.user["id"],),
        traces=(shopper.trace_id,),
        statuses=(httpx.codes.CREATED,),
    )
