"""Runs one row on a running stack: load, fault, recovery, completion and check."""

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
from chaos.workload import Workload, workload
from console.failures import FailedError
from console.faults import Admin
from hopline_client.api import ProblemError
from testkit.stack import Stack
from testkit.waiting import eventually

HEALING = "healing"
"""The name in an outcome for processes that did not recover and work that did not complete."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The number of customers, of their operations before and after the fault, and the minimum duration in `seconds`.

    `max_unawaited` is the maximum number of additional operations that nothing waits for.
    """

    customers: int = 4
    operations: int = 10
    max_unawaited: int = 60
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a row. `healed_s` is the time from the end of fault and load until completion, in seconds."""

    row: Row
    history: History
    outcome: Outcome
    healed_s: float

    @property
    def is_broken(self) -> bool:
        """Whether there are violations."""
        return not holds(self.outcome)


class Trial:
    """Runs rows on `stack`, which nothing else may use. `environment` has its admin account."""

    def __init__(self, *, stack: Stack, environment: Mapping[str, str], effort: Effort) -> None:
        self._stack = stack
        self._effort = effort
        self._processes = Processes(stack.environment)
        self.snapshot_reader = SnapshotReader(table=self._processes.table, mailpit=stack.mailpit)
        self._switches = Switches(gateway=stack.gateway, admin=Admin.from_environment(environment))

    async def run(self, row: Row, *, seed: str, quiet_within_s: float = inf) -> Result:
        """Run a row with a nemesis. A fault without an effect is a failure too, because it would test nothing.

        The wait for completion is longer than the limit, so that late work is not reported as lost.
        """
        assert row.nemesis, f"row {row.name} is held by {row.held_by}"
        rng = random.Random(f"{seed}/{row.name}")  # noqa: S311 - not for secrets
        await self._processes.ready()
        await self.snapshot_reader.begin()
        broken = list[str]()
        effort, gateway = self._effort, self._stack.gateway
        async with workload(gateway, customers=effort.customers, max_operations=effort.max_unawaited, rng=rng) as load:
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
                broken += [str(failure) or repr(failure) for failure in _leaves(failed)]
            over = time.monotonic()
            snapshot, restless = await self._quiet(load)
            healed_s = time.monotonic() - over
        outcome = dict(check(load.history, snapshot, guarantees=row.guarantees))
        if healed_s > quiet_within_s:
            broken.append(f"complete after {healed_s:.1f} s, not within {quiet_within_s:.0f} s")
        outcome[HEALING] = broken + restless
        return Result(row=row, history=load.history, outcome=outcome, healed_s=healed_s)

    async def _inject(self, row: Row, scene: Scene) -> None:
        """Run the nemesis during the load."""
        assert row.nemesis
        until = time.monotonic() + self._effort.seconds
        async with scene.workload.acting():
            await scene.workload.progress(self._effort.operations)
            await row.nemesis(scene)
            await scene.workload.progress(self._effort.operations)
            while time.monotonic() < until:
                await scene.workload.progress(1)

    async def _quiet(self, load: Workload) -> tuple[Snapshot, list[str]]:
        """Wait until nothing is in progress and two snapshots agree; return the snapshot and the pending work."""
        last = Snapshot()

        async def is_quiet() -> bool:
            nonlocal last
            before = last
            try:
                last = await self.snapshot_reader.count()
            except (OSError, asyncpg.PostgresError, RedisError, httpx.HTTPError):  # a store that has not recovered yet
                return False
            return last == before and not pending_work(load.history, last)

        try:
            await self._processes.ready()
            await eventually(is_quiet, HEALING_S, "everything quiet")
        except AssertionError as failure:
            return last, pending_work(load.history, last) or [str(failure)]
        return last, []


def _leaves(failed: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for failure in failed.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
