"""`bounded_memory` fails if the memory of a process grows beyond the limit."""

import pytest

from chaos.nemesis.floods import MAX_GROWTH_BYTES, bounded_memory
from chaos.processes import SERVERS, Processes
from embedded.errors import EmbeddedError
from testkit.waiting import eventually

MIB = 1024 * 1024


class MeasuredProcesses(Processes):
    """Processes of services that use `before` bytes at their first measurement, and `later` bytes at all others.

    If `later` is None, the later measurements fail.
    """

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
        await flood(before=10 * MIB, later=10 * MIB + MAX_GROWTH_BYTES)

    async def test_error_is_raised_when_memory_grows_beyond_the_limit(self) -> None:
        growth = MAX_GROWTH_BYTES + 1
        with pytest.raises(AssertionError, match=rf"grew by bytes: .*'users': {growth}"):
            await flood(before=10 * MIB, later=10 * MIB + growth)

    async def test_error_is_raised_when_the_measurement_fails(self) -> None:
        with pytest.raises(EmbeddedError, match="cannot be measured"):
            await flood(before=10 * MIB, later=None)
