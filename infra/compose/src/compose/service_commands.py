"""`make jobs`, `dead-letters` and `replay` in this mode: runs commands of the services, each in a new container.

A second Python process in the container of the service would exceed its memory limit, and the kernel could kill the
service.
"""

from collections.abc import Iterable

from compose.engine import Engine
from compose.errors import ComposeError
from embedded.service_commands import Command

_RUN_OPTIONS = ("--progress", "quiet", "run", "--rm", "--no-deps", "-T")


def run(engine: Engine, commands: Iterable[Command]) -> int:
    """Run commands in containers of their services, and print their output; return the largest exit code."""
    engine.check()
    running = {container.service for container in engine.containers() if container.state == "running"}
    codes = [0]
    for number, command in enumerate(commands):
        if command.process not in running:
            raise ComposeError(f"{command.process} is not running: `make up` starts it")
        if number:
            print(flush=True)
        codes.append(engine.relay(*_RUN_OPTIONS, command.process, "python", "-m", *command.arguments))
    return max(codes)
