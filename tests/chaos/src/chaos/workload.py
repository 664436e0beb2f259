"""The customers of one run and their devices: recorded load that continues during a fault."""

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
from testkit.waiting import TIMEOUT_S as HAPPENS_S
from testkit.waiting import eventually

DEVICES = 3
"""Devices per customer."""

_MAX_THINK_TIME_S = 1.0


class Workload:
    """The customers of one run. They do `max_operations`, plus those that a caller waits for."""

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
        """Let all customers act within the block. The exit waits for their current operations."""
        async with asyncio.TaskGroup() as tasks:
            for customer in self.customers:
                tasks.create_task(self._act(customer, _child(self._rng)))
            try:
                yield
            finally:
                self._leaving.set()
                for _ in self.customers:
                    self._permits.release()

    async def progress(self, operations: int) -> None:
        """Wait for this number of further operations. Raises AssertionError on a timeout."""
        enough = len(self.history.operations) + operations
        for _ in range(operations):
            self._permits.release()
        timeout_s = operations * (MAX_OPERATION_S + _MAX_THINK_TIME_S)
        await eventually(lambda: len(self.history.operations) >= enough, timeout_s, "customers who act")

    async def until(self, happened: Callable[[], object], what: str) -> None:
        """Act until the plain or async condition is true. Raises AssertionError on a timeout."""

        async def is_so() -> object:
            if self._permits.locked():
                self._permits.release()
            found = happened()
            return await found if isawaitable(found) else found

        await eventually(is_so, HAPPENS_S, what)

    async def _act(self, customer: Customer, rng: random.Random) -> None:
        while True:
            await self._permits.acquire()
            if self._leaving.is_set():
                return
            await customer.act()
            await asyncio.sleep(rng.uniform(0, _MAX_THINK_TIME_S))


@asynccontextmanager
async def workload(gateway: str, *, customers: int, max_operations: int, rng: random.Random) -> AsyncIterator[Workload]:
    """Run registered customers and their devices within the block. The history starts with their registration."""
    history = History()
    async with httpx.AsyncClient(base_url=gateway, timeout=TIMEOUT_S) as http, asyncio.TaskGroup() as watching:
        acting, devices, tasks = list[Customer](), list[ResumingDevice](), list[asyncio.Task[None]]()
        for number in range(customers):
            shopper = await register(http)
            history.operations.append(_registered(shopper))
            acting.append(Customer(shopper=shopper, history=history, rng=_child(rng)))
            for name in "abc"[:DEVICES]:
                log = DeviceLog(name=f"customer {number}, device {name}", user_id=shopper.user["id"])
                history.devices.append(log)
                devices.append(ResumingDevice(shopper=shopper, log=log, rng=_child(rng)))
                tasks.append(watching.create_task(devices[-1].watch()))
        yield Workload(
            history=history, customers=acting, devices=devices, rng=_child(rng), max_operations=max_operations
        )
        for task in tasks:
            task.cancel()


def _child(rng: random.Random) -> random.Random:
    return random.Random(rng.random())  # noqa: S311 - no secret


def _registered(shopper: Shopper) -> Operation:
    return Operation(
        action=Action.REGISTER,
        outcome=Outcome.OK,
        key=shopper.email,
        user_id=shopper.user["id"],
        responses=(shopper.user["id"],),
        traces=(shopper.trace_id,),
        statuses=(httpx.codes.CREATED,),
    )
