"""The processes of the stack, to be killed, frozen, and waited for."""

import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import psutil

from embedded import processes, readiness
from embedded.errors import EmbeddedError
from embedded.processes import Table
from embedded.stack import Stack
from embedded.supervisor import Supervisor
from shared.redis import redis_client
from testkit.waiting import PATIENCE_S, eventually

HEALING_S = 4 * PATIENCE_S
"""A bound against waiting for ever; a killed process is mostly back within two seconds."""

SERVERS = ("users", "orders", "notifications", "gateway")
"""Those under gunicorn: a master with workers."""

WORKERS = ("worker", "report-worker")


class Processes:
    """Those of the embedded stack that `environment` names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._stack = Stack.from_environment(environment)
        self._supervisor = Supervisor(self._stack)
        self.table: Table = processes.table(self._stack, environment)

    def port(self, name: str) -> int:
        """The port of a service."""
        return self._stack.port(name)

    def pid(self, name: str) -> int:
        """The process that the supervisor keeps; of a service, gunicorn's master."""
        return self._supervisor.states()[name].pid

    def children(self, name: str) -> list[psutil.Process]:
        """What a master has forked; none of a process that is away."""
        try:
            return psutil.Process(self.pid(name)).children()
        except psutil.Error:
            return []

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal that ends it, and return once its successor is ready. Raises AssertionError if it is not."""
        ended = self.pid(name)
        os.kill(ended, number)
        await self.succeeded(name, ended)

    def has_successor(self, name: str, ended: int) -> bool:
        """Whether there is another process than this."""
        return self.pid(name) not in {0, ended}

    async def succeeded(self, name: str, ended: int) -> None:
        """Return once another process than this is ready, by a sign of its own. Raises AssertionError if none is."""
        await eventually(lambda: self.has_successor(name, ended), HEALING_S, f"a successor of {name}")
        [process] = [process for process in self.table.processes if process.name == name]
        if process.ready_key:  # it outlives who wrote it
            redis = redis_client(self.table.valkey.url)
            await redis.delete(process.ready_key)
            await redis.aclose()
        await self.ready(name)

    async def kill_child(self, name: str, rng: random.Random) -> None:
        """Send kill -9 to one of a master's workers, and return once there is another."""
        before = self.children(name)
        rng.choice(before).kill()
        await self.replaced(name, {child.pid for child in before})

    def lost_one(self, name: str, before: set[int]) -> bool:
        """Whether any of these workers of a master is gone."""
        return not before <= {child.pid for child in self.children(name)}

    async def replaced(self, name: str, before: set[int]) -> None:
        """Return once one of these workers of a master is gone, and there are as many again."""

        def are_as_many() -> bool:
            return self.lost_one(name, before) and len(self.children(name)) >= len(before)

        await eventually(are_as_many, HEALING_S, f"another worker of {name}")
        await self.ready(name)

    async def ready(self, *names: str) -> None:
        """Return once these are ready; all, where none is named. Raises AssertionError where one stays away.

        A master without workers is not ready: a worker that outlived a killed master may be what responds.
        """
        wanted = [process for process in self.table.processes if not names or process.name in names]

        async def are_ready() -> bool:
            try:
                states = self._supervisor.states()
            except EmbeddedError:
                return False
            running = all(states[process.name].state == "RUNNING" for process in wanted)
            running = running and all(self.children(process.name) for process in wanted if process.name in SERVERS)
            return running and all([await readiness.is_ready(self.table, process) for process in wanted])

        await eventually(are_ready, HEALING_S, f"{', '.join(names) or 'everything'} ready")

    async def is_unready(self, name: str) -> bool:
        """Whether a service's readiness probe fails."""
        [process] = [process for process in self.table.processes if process.name == name]
        return not await readiness.is_ready(self.table, process)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Raise AssertionError if a process of ours has ended within the block."""
        before = self._pids()
        yield
        after = self._pids()
        ended = [name for name, pids in before.items() if not pids <= after[name]]
        assert not ended, f"processes of {', '.join(ended)} have ended"

    def _pids(self) -> dict[str, set[int]]:
        servers = {name: {self.pid(name), *(child.pid for child in self.children(name))} for name in SERVERS}
        return servers | {name: {self.pid(name)} for name in WORKERS}

    def memory_bytes(self, name: str) -> int:
        """Resident memory of the largest worker of a service."""
        try:
            return max((child.memory_info().rss for child in self.children(name)), default=0)
        except psutil.Error:  # one has just ended
            return 0

    @contextmanager
    def frozen(self, *frozen: psutil.Process) -> Iterator[None]:
        """Stop them for the time of the block, as a machine that sleeps would."""
        for process in frozen:
            process.suspend()
        try:
            yield
        finally:
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    @asynccontextmanager
    async def second_worker(self) -> AsyncIterator[None]:
        """Another worker of the same queue beside the supervised one."""
        [worker] = [process for process in self.table.processes if process.name == "worker"]
        environment = self.table.environments.inherited() | worker.environment
        with self._stack.log("second-worker").open("ab") as log:
            started = psutil.Popen(worker.command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            started.terminate()
            await eventually(lambda: started.poll() is not None, HEALING_S, "the second worker's end")
