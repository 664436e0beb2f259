"""`make jobs`, `dead-letters` and `replay`: commands of the services themselves, run in their environments.

No table is read here: each service knows its own. Where it runs differs by mode, what is run does not.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from embedded import processes
from embedded.errors import EmbeddedError
from embedded.stack import Stack
from embedded.supervisor import Supervisor

CONSUMERS = {"notifications": "notifications", "workers": "worker"}
"""Services that consume events, and the process in whose environment each is asked."""


@dataclass(frozen=True)
class Command:
    """`python -m …`, to be run in the environment of `process`."""

    process: str
    arguments: tuple[str, ...]


def jobs() -> list[Command]:
    """How jobs are doing."""
    return [Command("worker", ("workers.operations", "jobs"))]


def dead_letters() -> list[Command]:
    """Jobs and events that were given up, of all services."""
    events = [Command(process, _events(service, "dead-letters")) for service, process in CONSUMERS.items()]
    return [Command("worker", ("workers.operations", "dead-letters")), *events]


def replay(name: str) -> Command:
    """Have one tried again, by its id as `dead_letters` shows it; raises EmbeddedError where it is none."""
    service, _, letter = name.partition(":")
    if service in CONSUMERS and re.fullmatch(r"[1-9]\d{0,17}", letter):
        return Command(CONSUMERS[service], _events(service, "replay", letter))
    try:
        return Command("worker", ("workers.operations", "replay", str(UUID(name))))
    except ValueError:
        raise EmbeddedError(
            f"ID={name}: expected the id of a job or of an event as `make dead-letters` lists them, "
            f"say ID=notifications:3"
        ) from None


def _events(service: str, *arguments: str) -> tuple[str, ...]:
    return ("shared.events", "--of", service, *arguments)


def run(stack: Stack, caller: Mapping[str, str], commands: Iterable[Command]) -> int:
    """Run commands in a running stack, their output on this terminal; the worst exit code."""
    if not Supervisor(stack).daemon():
        raise EmbeddedError("Hopline is not running: `make up` starts it")
    environments = processes.table(stack, caller).environments
    codes = [0]
    for number, command in enumerate(commands):
        if number:
            print(flush=True)
        environment = environments.inherited() | environments.of(command.process)
        codes.append(
            subprocess.run([sys.executable, "-m", *command.arguments], env=environment, check=False).returncode
        )
    return max(codes)
