"""The processes of the stack: kill them, freeze them, and wait until they are ready again."""

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
from shared.db.redis import create_redis
from testkit.waiting import TIMEOUT_S, eventually

HEALING_S = 4 * TIMEOUT_S
"""Timeout for the restart of a process, which usually takes less than two seconds."""

SERVERS = ("users", "orders", "notifications", "gateway")
"""The services. Each has a gunicorn master with several workers."""

WORKERS = ("worker", "report-worker")


class Processes:
    """The processes of the embedded stack that `environment` selects."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._stack = Stack.from_environment(environment)
        self._supervisor = Supervisor(self._stack)
        self.table: Table = processes.table(self._stack, environment)

    def port(self, name: str) -> int:
        """Return the port of a service."""
        return self._stack.port(name)

    def pid(self, name: str) -> int:
        """Return the process id, or 0 if the process does not run. For a service, it is that of gunicorn's master."""
        return self._supervisor.states()[name].pid

    def children(self, name: str) -> list[psutil.Process]:
        """Return the child processes of a master; empty if it does not run."""
        try:
            return psutil.Process(self.pid(name)).children()
        except psutil.Error:
            return []

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Terminate a process, and wait until its successor is ready. Raises AssertionError on a timeout."""
        ended = self.pid(name)
        os.kill(ended, number)
        await self.wait_for_successor(name, ended)

    def has_successor(self, name: str, ended: int) -> bool:
        """Return whether another process than `ended` runs under this name."""
        return self.pid(name) not in {0, ended}

    async def wait_for_successor(self, name: str, ended: int) -> None:
        """Wait until a successor of `ended` is ready. Raises AssertionError on a timeout."""
        await eventually(lambda: self.has_successor(name, ended), HEALING_S, f"a successor of {name}")
        [process] = [process for process in self.table.processes if process.name == name]
        if process.ready_key:  # the old process may have left the key in Redis, which would report the new one as ready
            redis = create_redis(self.table.valkey.url)
            await redis.delete(process.ready_key)
            await redis.aclose()
        await self.wait_until_ready(name)

    async def kill_child(self, name: str, rng: random.Random) -> None:
        """Kill one of a master's workers, and wait until it is replaced."""
        before = self.children(name)
        rng.choice(before).kill()
        await self.wait_for_replacement(name, {child.pid for child in before})

    def has_lost_worker(self, name: str, before: set[int]) -> bool:
        """Return whether one of these workers of a master has ended."""
        return not before <= {child.pid for child in self.children(name)}

    async def wait_for_replacement(self, name: str, before: set[int]) -> None:
        """Wait until one of these workers has ended and the master has as many as before."""

        def is_replaced() -> bool:
            return self.has_lost_worker(name, before) and len(self.children(name)) >= len(before)

        await eventually(is_replaced, HEALING_S, f"another worker of {name}")
        await self.wait_until_ready(name)

    async def wait_until_ready(self, *names: str) -> None:
        """Wait until the named processes, or all, are ready. Raises AssertionError on a timeout.

        A master without workers is not ready, because a worker of a killed master may respond instead.
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
        """Return whether a service's readiness probe fails."""
        [process] = [process for process in self.table.processes if process.name == name]
        return not await readiness.is_ready(self.table, process)

    @contextmanager
    def assert_none_exits(self) -> Iterator[None]:
        """Raise AssertionError if a process of the stack ended within the block."""
        before = self._pids()
        yield
        after = self._pids()
        ended = [name for name, pids in before.items() if not pids <= after[name]]
        assert not ended, f"processes of {', '.join(ended)} have ended"

    def _pids(self) -> dict[str, set[int]]:
        servers = {name: {self.pid(name), *(child.pid for child in self.children(name))} for name in SERVERS}
        return servers | {name: {self.pid(name)} for name in WORKERS}

    def memory_bytes(self, name: str) -> int:
        """Return the resident memory of the largest worker of a service, or 0 if a worker has just ended."""
        try:
            return max((child.memory_info().rss for child in self.children(name)), default=0)
        except psutil.Error:
            return 0

    @contextmanager
    def frozen(self, *frozen: psutil.Process) -> Iterator[None]:
        """Freeze processes within the block, like a suspended machine."""
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
        """Run a second worker of the same queue."""
        [worker] = [process for process in self.table.processes if process.name == "worker"]
        environment = self.table.environments.inherited() | worker.environment
        with self._stack.log("second-worker").open("ab") as log:
            started = psutil.Popen(worker.command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            started.terminate()
            await eventually(lambda: started.poll() is not None, HEALING_S, "the second worker's end")
