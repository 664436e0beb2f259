"""What FastAPI itself tells of each request that an application serves (ADR 8)."""

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig

PROBES = "/health/"
SOCKET = "/ws"


def server_telemetry() -> TelemetryConfig:
    """FastAPI's own telemetry: one server span and one duration per request, named by the whole route.

    It knows mounted applications (`POST /v2/orders`, where the contrib instrumentation says `POST /v2`) at two thirds
    of its cost. Spans for the parts of a request would say little and cost more; log events are `shared.logging`'s.
    """
    return {"tracing": True, "metrics": True, "logs": False, "operation_spans": False, "exclude": _untraced}


def _untraced(scope: MutableMapping[str, Any]) -> bool:
    """Probes would drown the traces; a WebSocket's span would stay open for hours."""
    path: str = scope["path"]
    return path.startswith(PROBES) or path == SOCKET
