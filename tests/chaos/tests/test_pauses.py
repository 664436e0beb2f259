"""The nemesis that freezes a worker waits until another worker has taken over a job."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import psutil

from chaos.nemesis.pauses import freeze_worker


class FakeSystem:
    """Replaces the collaborators of the nemesis. `running` has the leases of running jobs at each reading, in order."""

    def __init__(self, *running: set[str]) -> None:
        self.running = list(running)
        self.calls: list[str] = []

    @property
    def scene(self) -> Any:
        """The scene, of which each collaborator is this object."""
        return SimpleNamespace(workload=self, switches=self, processes=self, snapshot_reader=self)

    async def running_jobs(self) -> set[str]:
        return self.running.pop(0)

    async def act_until(self, happened: Callable[[], Awaitable[object]], _what: str) -> None:
        assert await happened()

    def pid(self, _name: str) -> int:
        return os.getpid()

    @asynccontextmanager
    async def on(self, **_fault: object) -> AsyncIterator[None]:
        yield

    @contextmanager
    def frozen(self, _process: psutil.Process) -> Iterator[None]:
        self.calls.append("freeze")
        yield
        self.calls.append("resume")

    @asynccontextmanager
    async def second_worker(self) -> AsyncIterator[None]:
        self.calls.append("second worker")
        yield


async def test_worker_is_frozen_again_when_its_job_ended_before_it_was_frozen() -> None:
    system = FakeSystem({"ended"}, set(), {"lease"}, {"lease"}, {"lease"}, {"lease of the second worker"})

    await freeze_worker(system.scene)

    assert system.calls == ["freeze", "resume", "freeze", "second worker", "resume"]
    assert not system.running
