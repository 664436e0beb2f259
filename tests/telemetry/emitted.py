"""What the code of the services and the workers can emit, read from their source."""

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
STARTERS = {"start_span", "start_as_current_span", "show", "_client_span"}
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
"""What the FastAPI and httpx instrumentations emit; `tests/e2e/test_what_arrives.py` holds it against the wire."""

NAMESPACES = "cloudevents|db|deployment|error|exception|hopline|host|http|messaging|network|server|service|url|user"
NAME = re.compile(rf"({NAMESPACES})(\.[a-z_]+)+")
NO_ATTRIBUTES = re.compile(r"http\.(disconnect|request|response\.(start|body))|user\.registered|deployment\.yaml")
"""ASGI's messages and the kinds of notifications are named alike."""


@dataclass
class Emitted:
    """Names by kind. `spans` has those that are constants; `dotted` every constant that is named like an attribute."""

    events: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    spans: set[str] = field(default_factory=set)
    dotted: set[str] = field(default_factory=set)

    @property
    def attributes(self) -> set[str]:
        """Attributes of spans, metrics, lines and resources."""
        named = {name for name in self.dotted - self.metrics if not NO_ATTRIBUTES.fullmatch(name)}
        return named | INSTRUMENTATION_ATTRIBUTES


def emitted() -> Emitted:
    """Read all of it."""
    found = Emitted(metrics=set(INSTRUMENTATION_METRICS))
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                found.dotted.add(node.value)
            if isinstance(node, ast.Call):
                _note(found, node)
    return found


def _note(found: Emitted, call: ast.Call) -> None:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    named = _constants(call.args[0]) if call.args else []
    if name in LEVELS and (name == "write" or _is_log(function)):
        found.events.update(named)
    elif name in INSTRUMENTS:
        found.metrics.update(named)
    elif name in STARTERS:
        found.spans.update(named)


def _is_log(function: ast.expr) -> bool:
    """`log.info(…)` and `structlog.get_logger(…).info(…)`."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    if isinstance(owner, ast.Call):
        return isinstance(owner.func, ast.Attribute) and owner.func.attr == "get_logger"
    return isinstance(owner, ast.Name) and owner.id == "log"


def _constants(node: ast.expr) -> list[str]:
    """The strings that an expression can be: a constant, or one of two."""
    if isinstance(node, ast.IfExp):
        return [*_constants(node.body), *_constants(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _trees() -> Iterator[ast.Module]:
    for pattern in SOURCES:
        for folder in sorted(ROOT.glob(pattern)):
            for file in sorted(folder.rglob("*.py")):
                yield ast.parse(file.read_text(encoding="utf-8"), str(file))
