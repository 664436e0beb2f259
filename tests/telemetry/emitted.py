"""The names of all telemetry that the services and the worker can emit, read from their source."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("shared/src", "services/*/src", "workers/src")

LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "write"}
METRIC_FUNCTIONS = {
    "create_counter",
    "create_histogram",
    "create_up_down_counter",
    "create_observable_counter",
    "create_observable_gauge",
    "create_observable_up_down_counter",
    "create_gauge",
    "Gauge",
}
SPAN_FUNCTIONS = {"start_span", "start_as_current_span", "record_span"}
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
DOTTED_NAME = re.compile(rf"({NAMESPACES})(\.[a-z_]+)+")
NO_ATTRIBUTE = re.compile(r"http\.(disconnect|request|response\.(start|body))|user\.registered|deployment\.yaml")
"""Types of ASGI messages, a notification kind and a file name, which look like attributes."""


@dataclass
class Emitted:
    """The names that the source contains as constants. `dotted` has all constants that look like an attribute.

    The names of other spans contain a variable part, such as a route.
    """

    events: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    spans: set[str] = field(default_factory=set)
    dotted: set[str] = field(default_factory=set)

    @property
    def attributes(self) -> set[str]:
        """Return the attributes of spans, metrics, log records and resources."""
        own = {name for name in self.dotted - self.metrics if not NO_ATTRIBUTE.fullmatch(name)}
        return own | INSTRUMENTATION_ATTRIBUTES


def read_emitted() -> Emitted:
    """Read the names from the source of all services and of the worker."""
    emitted = Emitted(metrics=set(INSTRUMENTATION_METRICS))
    for tree in _parse_sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and DOTTED_NAME.fullmatch(node.value):
                emitted.dotted.add(node.value)
            if isinstance(node, ast.Call):
                _add_call(emitted, node)
    return emitted


def _add_call(emitted: Emitted, call: ast.Call) -> None:
    """Add the names that a call emits, if it emits any."""
    function = call.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called == "log_store_failure":
        emitted.events.update(_list_constants(call.args[1]))
        return
    names = _list_constants(call.args[0]) if call.args else []
    if called in LOG_METHODS and (called == "write" or _is_log_method(function)):
        assert names or called == "write", (
            f"the event must be a constant, so that it can be listed: {ast.unparse(call)}"
        )
        emitted.events.update(names)
    elif called in METRIC_FUNCTIONS:
        emitted.metrics.update(names)
    elif called in SPAN_FUNCTIONS:
        emitted.spans.update(names)


def _is_log_method(function: ast.expr) -> bool:
    """Return whether this is a method such as `log.info` or `structlog.get_logger(…).info`."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    if isinstance(owner, ast.Call):
        return isinstance(owner.func, ast.Attribute) and owner.func.attr == "get_logger"
    return isinstance(owner, ast.Name) and owner.id == "log"


def _list_constants(node: ast.expr) -> list[str]:
    """Return the possible values of an expression that is a constant string or chooses between constant strings."""
    if isinstance(node, ast.IfExp):
        return [*_list_constants(node.body), *_list_constants(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _parse_sources() -> Iterator[ast.Module]:
    for pattern in SOURCES:
        for folder in sorted(ROOT.glob(pattern)):
            for file in sorted(folder.rglob("*.py")):
                yield ast.parse(file.read_text(encoding="utf-8"), str(file))
