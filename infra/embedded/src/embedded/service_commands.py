"""`make jobs`, `dead-letters` and `replay`: runs commands of the services in the services' environments.

Only a service reads its own tables. Both modes run the same commands: embedded as processes, Compose in containers.
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
"""Services that consume events, with the process whose environment their commands use."""


@dataclass(frozen=True)
class Command:
    """`python -m …` in the environment of `process`."""

    process: str
    arguments: tuple[str, ...]


def jobs() -> list[Command]:
    """Return the commands that show jobs."""
    return [Command("worker", ("workers.cli", "jobs"))]


def dead_letters() -> list[Command]:
    """Return the commands that list dead jobs and events of all services."""
    events = [Command(process, _events(service, "dead-letters")) for service, process in CONSUMERS.items()]
    return [Command("worker", ("workers.cli", "dead-letters")), *events]


def replay(dead_letter_id: str) -> Command:
    """Return the command that retries one dead job or event. Raises EmbeddedError for an invalid id."""
    service, _, number = dead_letter_id.partition(":")
    if service in CONSUMERS and re.fullmatch(r"[1-9]\d{0,17}", number):
        return Command(CONSUMERS[service], _events(service, "replay", number))
    try:
        return Command("worker", ("workers.cli", "replay", str(UUID(dead_letter_id))))
    except ValueError:
        raise EmbeddedError(
            f"ID={dead_letter_id}: expected the id of a job or of an event as `make dead-letters` lists them, "
            f"for example ID=notifications:3"
        ) from None


def _events(service: str, *arguments: str) -> tuple[str, ...]:
    return ("shared.commands.events", "--of", service, *arguments)


def run(stack: Stack, caller: Mapping[str, str], commands: Iterable[Command]) -> int:
    """Run commands in a running stack, with their output on this terminal; return the largest exit code."""
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
