"""The port offsets of stacks that run at the same time, and failures of their start and removal."""

import os
import subprocess
import sys

import pytest

from compose.project import PUBLISHED
from embedded.ports import PORTS
from testkit.operators import EmbeddedOperator
from testkit.stack import OFFSET_STEP, free_offset, started


def test_no_two_ports_of_a_stack_differ_by_a_multiple_of_the_step() -> None:
    numbers = {port.number for port in (*PORTS.values(), *PUBLISHED.values())}
    assert len({number % OFFSET_STEP for number in numbers}) == len(numbers)


def test_offset_is_not_free_when_another_process_uses_it() -> None:
    offset = 1_000_000 + os.getpid()  # no stack and no other run of this test uses it
    assert reserve_in_another_process(offset).stdout == f"{offset}\n"
    assert free_offset([], offsets=[offset]) == offset
    assert "found no offset" in reserve_in_another_process(offset).stderr


def reserve_in_another_process(offset: int) -> subprocess.CompletedProcess[str]:
    """Reserve the offset until the end of the process. It has ended when the function returns."""
    program = f"from testkit.stack import free_offset; print(free_offset([], offsets=[{offset}]))"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the code above


class FailingOperator(EmbeddedOperator):
    """Records the commands. The command `failing` fails."""

    def __init__(self, *, failing: str) -> None:
        super().__init__(environment={})
        self.failing = failing
        self.commands: list[str] = []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.commands.append(arguments[0])
        return subprocess.CompletedProcess(arguments, int(arguments[0] == self.failing), "", f"{arguments[0]} failed")


@pytest.mark.parametrize("failing", ["up", "clean"])
def test_error_contains_the_output_when_the_start_or_the_removal_fails(failing: str) -> None:
    operator = FailingOperator(failing=failing)
    with pytest.raises(RuntimeError, match=f"{failing} failed"), started(operator):
        pass
    assert operator.commands == ["up", "clean"]
