"""A running stack for end-to-end tests: the stack that the environment names, or a new stack in either mode."""

import fcntl
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from compose.project import PUBLISHED
from embedded.ports import PORTS, Port, list_conflicts
from testkit.operators import ComposeOperator, EmbeddedOperator, Operator
from testkit.tap import TappedTelemetry, open_tap

MODES = ("embedded", "compose")
OFFSET_STEP = 39
"""No two ports of a stack differ by a multiple of this step, so stacks with different multiples share no port."""

_OFFSETS = range(26 * OFFSET_STEP, 6000, OFFSET_STEP)
"""With these offsets all ports are below 32768, the first port that the system assigns to clients."""


class Stack:
    """The URLs of a running stack, and its operator if the tests started it."""

    def __init__(
        self,
        *,
        offset: int = 0,
        environment: dict[str, str] | None = None,
        operator: Operator | None = None,
        tapped: TappedTelemetry | None = None,
    ) -> None:
        self._environment = environment
        self._operator = operator
        self._tapped = tapped

        def url(name: str, port: int) -> str:
            return os.environ.get(f"HOPLINE_{name}_URL", f"http://localhost:{port + offset}")

        self.gateway = url("GATEWAY", 8000)
        self.jaeger = url("JAEGER", 16686)
        self.loki = url("LOKI", 3100)
        self.prometheus = url("PROMETHEUS", 9090)
        self.mailpit = url("MAILPIT", 8025)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process that uses this stack, such as `python -m console …`."""
        return (self._environment or dict(os.environ)) | {
            "HOPLINE_GATEWAY_URL": self.gateway,
            "HOPLINE_JAEGER_URL": self.jaeger,
            "HOPLINE_LOKI_URL": self.loki,
            "HOPLINE_PROMETHEUS_URL": self.prometheus,
            "HOPLINE_MAILPIT_URL": self.mailpit,
        }

    @property
    def home(self) -> Path:
        """Return the folder of a stack that the tests started in embedded mode: data, logs and secrets."""
        return Path(self.environment["HOPLINE_HOME"])

    @property
    def is_ours(self) -> bool:
        """Return whether the tests started the stack, so that they may kill its processes."""
        return self._operator is not None

    @property
    def operator(self) -> Operator:
        """Return the operator of a stack that the tests started."""
        assert self._operator is not None
        return self._operator

    @property
    def has_observatory(self) -> bool:
        """Return whether the tests started the stack in embedded mode, in which the observatory replaces Prometheus."""
        return isinstance(self._operator, EmbeddedOperator)

    @property
    def is_tapped(self) -> bool:
        """Return whether the telemetry of the stack passes through this process."""
        return self._tapped is not None

    @property
    def tapped(self) -> TappedTelemetry:
        """Return the telemetry that has passed through this process."""
        assert self._tapped is not None
        return self._tapped

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m <command>` against this stack."""
        return subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", *command], env=self.environment, capture_output=True, text=True, check=False
        )


def selected_mode() -> str:
    """Return the mode in which the tests start a stack: `embedded`, or `compose` with HOPLINE_TEST_MODE=compose."""
    mode = os.environ.get("HOPLINE_TEST_MODE") or MODES[0]
    if mode not in MODES:
        raise ValueError(f"HOPLINE_TEST_MODE can be {' or '.join(MODES)}, not {mode!r}")
    return mode


@contextmanager
def running_stack(home: Path, *, settings: Mapping[str, str] | None = None, tap: bool = True) -> Iterator[Stack]:
    """Yield the stack named by HOPLINE_GATEWAY_URL, or start one in `home` and remove it afterwards.

    The started stack is embedded, or with HOPLINE_TEST_MODE=compose a separate Compose project, built from this
    checkout. `settings` take precedence over the settings of tests. With `tap`, the telemetry of an embedded stack
    passes through this process, which costs time. In Compose the telemetry is sent to the Collector and cannot be
    tapped.
    """
    if "HOPLINE_GATEWAY_URL" in os.environ:
        yield Stack()
        return
    start = {"embedded": _embedded_stack, "compose": _compose_stack}[selected_mode()]
    common = {
        "HOPLINE_HOME": str(home),
        "FULFIL_STEP_SECONDS": "1",
        "PYTHON_DOTENV_DISABLED": "1",
        "SLOW_STATEMENT_MS": "60000",  # a busy machine must not change the shape of a trace
    }
    with start({**os.environ, **common, **(settings or {})}, tap=tap) as stack:
        yield stack


@contextmanager
def _embedded_stack(environment: dict[str, str], *, tap: bool) -> Iterator[Stack]:
    offset = free_offset(PORTS.values())
    environment["HOPLINE_PORT_OFFSET"] = str(offset)
    for name in ("DATABASE_URL", "REDIS_URL"):  # in hosted CI, the tests of services use them
        environment.pop(name, None)
    with ExitStack() as exits:
        tapped = None
        if tap:
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"], tapped = exits.enter_context(
                open_tap(PORTS["otlp"].number + offset)
            )
        operator = EmbeddedOperator(environment=environment)
        exits.enter_context(started(operator))
        yield Stack(offset=offset, environment=environment, operator=operator, tapped=tapped)


@contextmanager
def _compose_stack(environment: dict[str, str], *, tap: bool) -> Iterator[Stack]:
    del tap
    offset = free_offset(PUBLISHED.values())
    environment["HOPLINE_PORT_OFFSET"] = str(offset)
    operator = ComposeOperator(environment=environment)
    with started(operator, "--timeout", "600"):
        yield Stack(offset=offset, environment=environment, operator=operator)


@contextmanager
def started(operator: Operator, *options: str) -> Iterator[None]:
    """Start the stack of `operator`, and remove it at the end of the block.

    Raises:
        RuntimeError: The start or the removal failed. The message contains the output of the command.
    """
    try:
        up = operator.run("up", *options)
        if up.returncode:
            raise RuntimeError(f"the {operator.command} stack did not start:\n{up.stdout}\n{up.stderr}")
        yield
    finally:
        clean = operator.run("clean")
    if clean.returncode:
        raise RuntimeError(f"the {operator.command} stack was not removed:\n{clean.stdout}\n{clean.stderr}")


def free_offset(ports: Collection[Port], *, offsets: Sequence[int] = _OFFSETS) -> int:
    """Return one of `offsets` at which all of `ports` are free, and that no other test process on this machine uses."""
    for offset in random.SystemRandom().sample(offsets, len(offsets)):  # tests seed the default random generator
        if not list_conflicts((port, port.number + offset) for port in ports) and _reserve(offset):
            return offset
    raise RuntimeError("found no offset at which all ports of a stack are free")


@cache
def _open_reservations() -> int:
    """Open the file of reservations. A lock of byte N reserves the offset N, and ends with its process."""
    path = Path(tempfile.gettempdir()) / f"hopline-test-offsets-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _reserve(offset: int) -> bool:
    """Reserve an offset for this process, because a stack needs seconds until it listens on all of its ports."""
    try:
        fcntl.lockf(_open_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
    except OSError:
        return False
    return True
