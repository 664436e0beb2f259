"""`make jobs`, `dead-letters` and `replay` in this mode: the services' own commands, each in a container of its own.

Not in the one that serves: a second Python beside it exceeds the limit of memory, and then it may be the service that
is killed.
"""

from collections.abc import Iterable

from compose.engine import Engine
from compose.errors import ComposeError
from embedded.operations import Command

_BESIDE = ("--progress", "quiet", "run", "--rm", "--no-deps", "-T")


def operate(engine: Engine, commands: Iterable[Command]) -> int:
    """Run commands as those services, their output on this terminal; the worst exit code."""
    engine.check()
    running = {container.service for container in engine.containers() if container.state == "running"}
    codes = [0]
    for number, command in enumerate(commands):
        if command.process not in running:
            raise ComposeError(f"{command.process} is not running: `make up` starts it")
        if number:
            print(flush=True)
        codes.append(engine.relay(*_BESIDE, command.process, "python", "-m", *command.arguments))
    return max(codes)
