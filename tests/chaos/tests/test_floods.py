"""The limit on the memory of processes during a flood."""

import pytest

from chaos.nemesis.floods import bounded_memory
from chaos.processes import SERVERS, Processes
from embedded.errors import EmbeddedError
from testkit.waiting import eventually

MIB = 1024 * 1024


class MeasuredProcesses(Processes):
    """Every service uses `before` at its first measurement, and `later` at all others; None: the measurement fails."""

    def __init__(self, *, before: int, later: int | None) -> None:
        self._before, self._later = before, later
        self.measurements = 0

    def memory_bytes(self, name: str) -> int:
        self.measurements += 1
        if self.measurements <= len(SERVERS):
            return self._before
        if self._later is None:
            raise EmbeddedError(f"{name} cannot be measured")
        return self._later


async def flood(*, before: int, later: int | None) -> None:
    processes = MeasuredProcesses(before=before, later=later)
    async with bounded_memory(processes):
        await eventually(lambda: processes.measurements > len(SERVERS))


class TestBoundedMemory:
    async def test_memory_may_grow_up_to_the_limit(self) -> None:
        await flood(before=10 * MIB, later=74 * MIB)

    async def test_error_is_raised_when_memory_grows_beyond_the_limit(self) -> None:
        with pytest.raises(AssertionError, match=r"grew by MiB: .*'users': 65"):
            await flood(before=10 * MIB, later=75 * MIB)

    async def test_error_is_raised_when_the_measurement_fails(self) -> None:
        with pytest.raises(EmbeddedError, match="cannot be measured"):
            await flood(before=10 * MIB, later=None)
