"""A running system to test end to end: the one named by the environment, or one of our own in either mode."""

import os
import random
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from compose.project import PUBLISHED
from embedded.ports import PORTS, Port, taken
from testkit.operators import ComposeOperator, EmbeddedOperator, Operator
from testkit.tap import Passed, tapped

_OFFSETS = range(1000, 6000, 7)
"""All ports stay below 32768, where those begin that the system gives to clients."""


class Stack:
    """The URLs of a running system, and the operator of one that we started."""

    def __init__(
        self,
        *,
        offset: int = 0,
        environment: dict[str, str] | None = None,
        operator: Operator | None = None,
        passed: Passed | None = None,
    ) -> None:
        self._environment = environment
        self._operator = operator
        self._passed = passed

        def url(name: str, port: int) -> str:
            return os.environ.get(f"HOPLINE_{name}_URL", f"http://localhost:{port + offset}")

        self.gateway = url("GATEWAY", 8000)
        self.jaeger = url("JAEGER", 16686)
        self.loki = url("LOKI", 3100)
        self.mailpit = url("MAILPIT", 8025)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that should find this stack (`python -m console …`)."""
        return (self._environment or dict(os.environ)) | {
            "HOPLINE_GATEWAY_URL": self.gateway,
            "HOPLINE_JAEGER_URL": self.jaeger,
            "HOPLINE_LOKI_URL": self.loki,
            "HOPLINE_MAILPIT_URL": self.mailpit,
        }

    @property
    def home(self) -> Path:
        """The folder of one that we started in embedded mode: data, logs, secrets."""
        return Path(self.environment["HOPLINE_HOME"])

    @property
    def is_ours(self) -> bool:
        """Whether its processes may be killed."""
        return self._operator is not None

    @property
    def operator(self) -> Operator:
        """Who may do as they like with its processes, of one that is ours."""
        assert self._operator is not None
        return self._operator

    @property
    def is_tapped(self) -> bool:
        """Whether its telemetry passes through this process."""
        return self._passed is not None

    @property
    def passed(self) -> Passed:
        """The telemetry that its processes have sent, of one that is tapped."""
        assert self._passed is not None
        return self._passed

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <command>` against this stack."""
        return subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", *command], env=self.environment, capture_output=True, text=True, check=False
        )


@contextmanager
def running_stack(home: Path, *, settings: Mapping[str, str] | None = None, tap: bool = True) -> Iterator[Stack]:
    """Yield the stack named by HOPLINE_GATEWAY_URL, or start one in `home` and remove it afterwards.

    It is embedded; with HOPLINE_TEST_MODE=compose it is a Compose project of its own, built from this checkout.
    `settings` go before those of a test. With the `tap`, an embedded one's telemetry passes through this process and
    takes its time; in Compose it goes to the Collector, by a network that does not lead here.
    """
    if "HOPLINE_GATEWAY_URL" in os.environ:
        yield Stack()
        return
    modes = {"embedded": _embedded, "compose": _composed}
    mode = os.environ.get("HOPLINE_TEST_MODE") or "embedded"
    if mode not in modes:
        raise ValueError(f"HOPLINE_TEST_MODE can be {' or '.join(modes)}, not {mode!r}")
    common = {
        "HOPLINE_HOME": str(home),
        "FULFIL_STEP_SECONDS": "1",
        "PYTHON_DOTENV_DISABLED": "1",
        "SLOW_STATEMENT_MS": "60000",  # a busy machine must not change the shape of a trace
    }
    with modes[mode]({**os.environ, **common, **(settings or {})}, tap=tap) as stack:
        yield stack


@contextmanager
def _embedded(environment: dict[str, str], *, tap: bool) -> Iterator[Stack]:
    offset = free_offset(PORTS.values())
    environment["HOPLINE_PORT_OFFSET"] = str(offset)
    for name in ("DATABASE_URL", "REDIS_URL"):  # those of hosted CI are for the service tests
        environment.pop(name, None)
    with ExitStack() as exits:
        passed = None
        if tap:
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"], passed = exits.enter_context(
                tapped(PORTS["otlp"].number + offset)
            )
        operator = EmbeddedOperator(environment=environment)
        exits.enter_context(_started(operator))
        yield Stack(offset=offset, environment=environment, operator=operator, passed=passed)


@contextmanager
def _composed(environment: dict[str, str], *, tap: bool) -> Iterator[Stack]:
    del tap
    offset = free_offset(PUBLISHED.values())
    environment["HOPLINE_PORT_OFFSET"] = str(offset)
    operator = ComposeOperator(environment=environment)
    with _started(operator, "--timeout", "600"):
        yield Stack(offset=offset, environment=environment, operator=operator)


@contextmanager
def _started(operator: Operator, *options: str) -> Iterator[None]:
    try:
        started = operator.run("up", *options)
        if started.returncode:
            raise RuntimeError(f"the {operator.command} stack did not start:\n{started.stdout}\n{started.stderr}")
        yield
    finally:
        operator.run("clean")


def free_offset(ports: Collection[Port]) -> int:
    """An offset at which all of `ports` are free now; random, so that runs side by side rarely meet."""
    for offset in random.SystemRandom().sample(_OFFSETS, len(_OFFSETS)):  # tests seed the common source alike
        if not taken((port, port.number + offset) for port in ports):
            return offset
    raise RuntimeError("no port offset is free for a stack")
