"""What a process knows of the switches: its own, read every half second, and nothing outside development."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.background import Background
from shared.faults.store import FaultStore
from shared.faults.switch import Fault
from shared.settings import Environment, ServiceSettings

log = structlog.get_logger(__name__)

REFRESH_S = 0.5


class Faults:
    """The switches for calls of one process, as last seen; none until a watch says so."""

    def __init__(self) -> None:
        self._by_target: dict[str, Fault] = {}

    def towards(self, target: str) -> Fault | None:
        """What the next call to `target` suffers."""
        fault = self._by_target.get(target)
        return fault if fault is not None and fault.strikes() else None

    def see(self, faults: dict[str, Fault]) -> None:
        """Take these, by target, for those that are on."""
        if faults != self._by_target:
            log.warning("faults_switched", faults=[f"{fault.kind} to {target}" for target, fault in faults.items()])
        self._by_target = faults


class FaultWatch(Background):
    """Keeps `faults` up to date with the store's for `source`. With Redis away they stay until their time is over."""

    outages = (RedisError, OSError)

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
