"""The names of all telemetry that services and workers can emit, read from their source."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("shared/src", "services/*/src", "workers/src")

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "write"}
INSTRUMENTS = {
    "create_counter",
    "create_histogram",
    "create_up_down_counter",
    "create_observable_counter",
    "create_observable_gauge",
    "create_observable_up_down_counter",
    "create_gauge",
    "Gauge",
}
STARTERS = {"start_span", "start_as_current_span", "record_span"}
INSTRUMENTATION_METRICS = {
    "http.server.request.duration",
    "http.server.active_requests",
    "http.client.request.duration",
}
INSTRUMENTATION_ATTRIBUTES = {
    "client.address",
    "client.port",
    "http.request.method",
    "http.request.method_original",
    "http.response.status_code",
    "http.route",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "server.address",
    "server.port",
    "url.full",
    "url.path",
    "url.query",
    "url.scheme",
    "user_agent.original",
}
"""Attributes of the FastAPI and httpx instrumentations. `tests/e2e/test_exported_telemetry.py` checks their export."""

NAMESPACES = "cloudevents|db|deployment|error|exception|hopline|host|http|messaging|network|server|service|url|user"
NAME = re.compile(rf"({NAMESPACES})(\.[a-z_]+)+")
NO_ATTRIBUTES = re.compile(r"http\.(disconnect|request|response\.(start|body))|user\.registered|deployment\.yaml")
"""Names of ASGI messages and notification kinds, which look like attributes."""


@dataclass
class Emitted:
    """Names by kind. `spans` has only constant names; `dotted` has every constant that looks like an attribute."""

    events: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    spans: set[str] = field(default_factory=set)
    dotted: set[str] = field(default_factory=set)

    @property
    def attributes(self) -> set[str]:
        """Return the attributes of spans, metrics, log records and resources."""
        named = {name for name in self.dotted - self.metrics if not NO_ATTRIBUTES.fullmatch(name)}
        return named | INSTRUMENTATION_ATTRIBUTES


def read_emitted() -> Emitted:
    """Read the names from the source."""
    found = Emitted(metrics=set(INSTRUMENTATION_METRICS))
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                found.dotted.add(node.value)
            if isinstance(node, ast.Call):
                _add_call(found, node)
    return found


def _add_call(emitted: Emitted, call: ast.Call) -> None:
    """Add the names that a call emits, if it emits any."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name == "log_store_failure":
        emitted.events.update(_constants(call.args[1]))
        return
    named = _constants(call.args[0]) if call.args else []
    if name in LEVELS and (name == "write" or _is_log(function)):
        assert named or name == "write", f"the event must be a constant, so that it can be listed: {ast.unparse(call)}"
        emitted.events.update(named)
    elif name in INSTRUMENTS:
        emitted.metrics.update(named)
    elif name in STARTERS:
        emitted.spans.update(named)


def _is_log(function: ast.expr) -> bool:
    """Return whether this is a call such as `log.info(…)` or `structlog.get_logger(…).info(…)`."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    if isinstance(owner, ast.Call):
        return isinstance(owner.func, ast.Attribute) and owner.func.attr == "get_logger"
    return isinstance(owner, ast.Name) and owner.id == "log"


def _constants(node: ast.expr) -> list[str]:
    """Return the possible values of a string: a constant, or two of a conditional expression."""
    if isinstance(node, ast.IfExp):
        return [*_constants(node.body), *_constants(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _trees() -> Iterator[ast.Module]:
    for pattern in SOURCES:
        for folder in sorted(ROOT.glob(pattern)):
            for file in sorted(folder.rglob("*.py")):
                yield ast.parse(file.read_text(encoding="utf-8"), str(file))
