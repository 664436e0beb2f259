"""One row tried on a running stack: load, fault, healing, quiet, verdict."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

import asyncpg
import httpx
from redis.exceptions import RedisError

from chaos.census import Census
from chaos.checker import Verdict, check, holds, unsettled
from chaos.crowd import Crowd, crowd
from chaos.history import History
from chaos.holdings import Holdings
from chaos.matrix import Row
from chaos.nemesis.scene import Scene
from chaos.nemesis.switches import Switches
from chaos.processes import HEALING_S, Processes
from console.failures import FailedError
from console.faults import Admin
from testkit.stack import Stack
from testkit.waiting import eventually

HEALING = "healing"
"""Under this name a verdict has what did not come back, or did not come to rest."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How many customers, how many operations of theirs before the fault and after it, how many `seconds` at least.

    `most` are those operations that they do without being waited for.
    """

    customers: int = 4
    operations: int = 10
    most: int = 60
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a row. `healed_s` is from the end of fault and load until all was quiet, in seconds."""

    row: Row
    history: History
    verdict: Verdict
    healed_s: float

    @property
    def is_broken(self) -> bool:
        """Whether anything is."""
        return not holds(self.verdict)


class Trial:
    """Tries rows on `stack`, which must be ours alone. `environment` says who its admin is."""

    def __init__(self, *, stack: Stack, environment: Mapping[str, str], effort: Effort) -> None:
        self._stack = stack
        self._effort = effort
        self._processes = Processes(stack.environment)
        self.census = Census(table=self._processes.table, mailpit=stack.mailpit)
        self._switches = Switches(gateway=stack.gateway, admin=Admin.from_environment(environment))

    async def run(self, row: Row, *, seed: str, quiet_within_s: float = inf) -> Result:
        """Try one that has a nemesis. A fault that does not do its work is broken too: it would have shown nothing.

        Quiet is waited for longer than it may take, so that what is late is not called lost.
        """
        assert row.nemesis, f"row {row.name} is held by {row.held_by}"
        rng = random.Random(f"{seed}/{row.name}")  # noqa: S311 - no secret
        await self._processes.ready()
        await self.census.begin()
        broken = list[str]()
        effort, gateway = self._effort, self._stack.gateway
        async with crowd(gateway, customers=effort.customers, most=effort.most, rng=rng) as people:
            scene = Scene(
                processes=self._processes,
                census=self.census,
                crowd=people,
                switches=self._switches,
                rng=rng,
                gateway=gateway,
            )
            try:
                await self._strike(row, scene)
            except* (AssertionError, FailedError, httpx.HTTPError) as failed:
                broken += [str(failure) or repr(failure) for failure in _leaves(failed)]
            over = time.monotonic()
            holdings, restless = await self._quiet(people)
            healed_s = time.monotonic() - over
        verdict = dict(check(people.history, holdings, promises=row.promises))
        if healed_s > quiet_within_s:
            broken.append(f"quiet after {healed_s:.1f} s, not within {quiet_within_s:.0f} s")
        verdict[HEALING] = broken + restless
        return Result(row=row, history=people.history, verdict=verdict, healed_s=healed_s)

    async def _strike(self, row: Row, scene: Scene) -> None:
        """Have the nemesis at work amidst the load."""
        assert row.nemesis
        until = time.monotonic() + self._effort.seconds
        async with scene.crowd.acting():
            await scene.crowd.progress(self._effort.operations)
            await row.nemesis(scene)
            await scene.crowd.progress(self._effort.operations)
            while time.monotonic() < until:
                await scene.crowd.progress(1)

    async def _quiet(self, people: Crowd) -> tuple[Holdings, list[str]]:
        """Wait until nothing is under way and two counts agree; what is there, and what does not come to rest."""
        last = Holdings()

        async def is_quiet() -> bool:
            nonlocal last
            before = last
            try:
                last = await self.census.count()
            except (OSError, asyncpg.PostgresError, RedisError, httpx.HTTPError):  # a store that is not back yet
                return False
            return last == before and not unsettled(people.history, last)

        try:
            await self._processes.ready()
            await eventually(is_quiet, HEALING_S, "everything quiet")
        except AssertionError as failure:
            return last, unsettled(people.history, last) or [str(failure)]
        return last, []


def _leaves(failed: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for failure in failed.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
