"""Run one row on a running stack: load, fault, recovery, completion and check."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

import asyncpg
import httpx
from redis.exceptions import RedisError

from chaos.checker import Outcome, check, holds, pending_work
from chaos.history import History
from chaos.matrix import Row
from chaos.nemesis.scene import Scene
from chaos.nemesis.switches import Switches
from chaos.processes import HEALING_S, Processes
from chaos.snapshot import Snapshot
from chaos.snapshot_reader import SnapshotReader
from chaos.workload import Workload, open_workload
from console.failures import FailedError
from console.faults import Admin
from hopline_client.api import ProblemError
from testkit.stack import Stack
from testkit.waiting import eventually

HEALING = "healing"
"""The name in an outcome for failed assertions of the nemesis, slow recovery and work that did not complete."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The size of the load of one row.

    `operations` is the number of operations before the fault, and again after it. `seconds` is the minimum duration of
    the load. Customers do at most `max_unawaited` operations more than those that the run waits for.
    """

    customers: int = 4
    operations: int = 10
    max_unawaited: int = 60
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a row. `healed_s` is the time from the end of fault and load until nothing is in progress."""

    row: Row
    history: History
    outcome: Outcome
    healed_s: float

    @property
    def is_broken(self) -> bool:
        """Return whether there are violations."""
        return not holds(self.outcome)


class Trial:
    """Runs rows on `stack`, which must have no other users. `environment` has the admin account of the stack."""

    def __init__(self, *, stack: Stack, environment: Mapping[str, str], effort: Effort) -> None:
        self._stack = stack
        self._effort = effort
        self._processes = Processes(stack.environment)
        self.snapshot_reader = SnapshotReader(table=self._processes.table, mailpit=stack.mailpit)
        self._switches = Switches(gateway=stack.gateway, admin=Admin.from_environment(environment))

    async def run(self, row: Row, *, seed: str, max_healing_s: float = inf) -> Result:
        """Run a row with a nemesis. A nemesis that waits for an effect of its fault fails if there is none.

        Completion after `max_healing_s` is a violation. The wait for completion is longer, so that late work is not
        reported as lost.
        """
        assert row.nemesis, f"row {row.name} has no nemesis: it is covered by {row.covered_by}"
        rng = random.Random(f"{seed}/{row.name}")  # noqa: S311 - not for secrets
        await self._processes.wait_until_ready()
        await self.snapshot_reader.begin()
        failures = list[str]()
        effort, gateway = self._effort, self._stack.gateway
        async with open_workload(
            gateway, customers=effort.customers, max_operations=effort.max_unawaited, rng=rng
        ) as load:
            scene = Scene(
                processes=self._processes,
                snapshot_reader=self.snapshot_reader,
                workload=load,
                switches=self._switches,
                rng=rng,
                gateway=gateway,
            )
            try:
                await self._inject(row, scene)
            except* (AssertionError, FailedError, ProblemError, httpx.HTTPError) as failed:
                failures += [str(failure) or repr(failure) for failure in _leaves(failed)]
            ended_at = time.monotonic()
            snapshot, pending = await self._wait_until_quiet(load)
            healed_s = time.monotonic() - ended_at
        outcome = dict(check(load.history, snapshot, guarantees=row.guarantees))
        if healed_s > max_healing_s:
            failures.append(f"complete after {healed_s:.1f} s, not within {max_healing_s:.0f} s")
        outcome[HEALING] = failures + pending
        return Result(row=row, history=load.history, outcome=outcome, healed_s=healed_s)

    async def _inject(self, row: Row, scene: Scene) -> None:
        """Run the nemesis during the load, then wait until orders succeed again. Other checks accept 503 for ever."""
        assert row.nemesis
        until = time.monotonic() + self._effort.seconds
        async with scene.workload.acting():
            await scene.workload.progress(self._effort.operations)
            await row.nemesis(scene)
            await scene.workload.progress(self._effort.operations)
            while time.monotonic() < until:
                await scene.workload.progress(1)
            await scene.workload.wait_for_order(HEALING_S)

    async def _wait_until_quiet(self, load: Workload) -> tuple[Snapshot, list[str]]:
        """Wait until nothing is in progress and two snapshots are equal. Return the snapshot and the pending work."""
        last = Snapshot()

        async def is_quiet() -> bool:
            nonlocal last
            before = last
            try:
                last = await self.snapshot_reader.read()
            except (OSError, asyncpg.PostgresError, RedisError, httpx.HTTPError):  # a store that has not recovered yet
                return False
            return last == before and not pending_work(load.history, last)

        try:
            await self._processes.wait_until_ready()
            await eventually(is_quiet, HEALING_S, "everything quiet")
        except AssertionError as failure:
            return last, pending_work(load.history, last) or [str(failure)]
        return last, []


def _leaves(failed: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions in a group and in the groups within it."""
    for failure in failed.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
