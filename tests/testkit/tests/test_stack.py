"""The port offsets of stacks that run at the same time."""

import os
import subprocess
import sys

from compose.project import PUBLISHED
from embedded.ports import PORTS
from testkit.stack import OFFSET_STEP, free_offset


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
