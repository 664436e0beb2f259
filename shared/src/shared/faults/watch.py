"""What a process knows of the switches: its own, read every second, and nothing outside development."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from redis.asyncio import Redis

from shared.background import Background
from shared.crash import arm
from shared.faults.store import FaultStore
from shared.faults.switch import Fault, Kind
from shared.settings import Environment, ServiceSettings

log = structlog.get_logger(__name__)

REFRESH_S = 1.0


class Faults:
    """The switches for calls of one process, as last seen; none until a watch says so."""

    def __init__(self) -> None:
        self._by_target: dict[str, Fault] = {}
        self._struck = Counter[Fault]()
        self._running_since = datetime.now(UTC)

    def towards(self, target: str, *, is_probe: bool = False) -> Fault | None:
        """What the next call to `target` suffers; asking counts as making it.

        A probe suffers what every call does, and takes no turn of those of which only so many do.
        """
        fault = self._by_target.get(target)
        if fault is None or (is_probe and fault.times is not None):
            return None
        if self._struck[fault] == fault.times or not fault.strikes():
            return None
        self._struck[fault] += 1
        return fault

    def see(self, faults: dict[str, Fault]) -> None:
        """Take these, by target, for those that are on; arm the crash that is among them."""
        if faults == self._by_target:
            return
        log.warning("faults_switched", faults=[f"{fault.kind} to {target}" for target, fault in faults.items()])
        self._by_target = faults
        self._struck = Counter({fault: self._struck[fault] for fault in faults.values()})
        arm(next((fault.at for fault in faults.values() if self._kills(fault)), None))

    def _kills(self, fault: Fault) -> bool:
        return fault.kind is Kind.CRASH and fault.since > self._running_since


class FaultWatch(Background):
    """Keeps `faults` up to date with the store's for `source`. With Redis away they stay until their time is over."""

    def __init__(self, *, source: str, faults: Faults, store: FaultStore) -> None:
        super().__init__()
        self._source = source
        self._faults = faults
        self._store = store

    def __str__(self) -> str:
        return "fault-watch"

    async def _run(self) -> None:
        while not self._stopping.is_set():
            faults = await self._store.all()
            self._faults.see({fault.target: fault for fault in faults if fault.source == self._source})
            with self._resting():
                await self._pause(REFRESH_S)


@asynccontextmanager
async def watched_faults(settings: ServiceSettings, *, source: str, redis: Redis) -> AsyncIterator[Faults]:
    """The switches for calls of the process named `source`; outside development there are none."""
    faults = Faults()
    if settings.environment is not Environment.DEVELOPMENT:
        yield faults
        return
    async with FaultWatch(source=source, faults=faults, store=FaultStore(redis=redis)):
        yield faults
