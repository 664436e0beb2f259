"""The faults of calls of this process, read from Redis every second, in development only."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from redis.asyncio import Redis

from shared.background import BackgroundLoop
from shared.config import Environment, ServiceSettings
from shared.faults.crash_points import arm_crash_point
from shared.faults.injection import Fault, FaultKind
from shared.faults.store import FaultStore

log = structlog.get_logger(__name__)

REFRESH_S = 1.0


class ActiveFaults:
    """The faults of this process's calls, by target."""

    def __init__(self) -> None:
        self._by_target: dict[str, Fault] = {}
        self._matched = Counter[Fault]()
        self._running_since = datetime.now(UTC)

    def match(self, target: str, *, is_probe: bool = False) -> Fault | None:
        """Return the fault to inject into the next call to `target`, and count the call.

        A fault with a limited number of calls does not match probes, which would use up the number.
        """
        fault = self._by_target.get(target)
        if fault is None or (is_probe and fault.times is not None):
            return None
        if self._matched[fault] == fault.times or not fault.matches_next_call():
            return None
        self._matched[fault] += 1
        return fault

    def update(self, faults: dict[str, Fault]) -> None:
        """Replace the active faults, by target, and arm the crash point of a crash."""
        if faults == self._by_target:
            return
        log.warning("faults_switched", faults=[f"{fault.kind} to {target}" for target, fault in faults.items()])
        self._by_target = faults
        self._matched = Counter({fault: self._matched[fault] for fault in faults.values()})
        arm_crash_point(next((fault.at for fault in faults.values() if self._crashes_this_process(fault)), None))

    def _crashes_this_process(self, fault: Fault) -> bool:
        return fault.kind is FaultKind.CRASH and fault.since > self._running_since


class FaultWatcher(BackgroundLoop):
    """Updates the faults of calls of `source` from the store.

    Without Redis, known faults stay until they expire, and a crash point stays armed.
    """

    def __init__(self, *, source: str, faults: ActiveFaults, store: FaultStore) -> None:
        super().__init__()
        self._source = source
        self._faults = faults
        self._store = store

    def __str__(self) -> str:
        return "fault-watch"

    async def _run(self) -> None:
        while not self._stopping.is_set():
            faults = await self._store.all()
            self._faults.update({fault.target: fault for fault in faults if fault.source == self._source})
            with self._cancellable():
                await self._pause(REFRESH_S)


@asynccontextmanager
async def watch_faults(settings: ServiceSettings, *, source: str, redis: Redis) -> AsyncIterator[ActiveFaults]:
    """Watch the faults of the process named `source`. Outside development they are empty and Redis is not read."""
    faults = ActiveFaults()
    if settings.environment is not Environment.DEVELOPMENT:
        yield faults
        return
    async with FaultWatcher(source=source, faults=faults, store=FaultStore(redis=redis)):
        yield faults
