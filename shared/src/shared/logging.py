"""Structured logs: one formatter for our events, the standard library's, uvicorn's and gunicorn's.

Log events, not sentences: `log.info("order_placed", order_id=…)`. Each line is one JSON object (or a coloured line on
a terminal) with `timestamp`, `level`, `event`, `service`, and where there are any `trace_id`, `span_id`,
`request_id`, `user_id`. The same event goes to OpenTelemetry when telemetry is exported.
"""

import logging
import logging.config
import sys
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import TextIO
from uuid import UUID

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.structlog import StructlogProcessor
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.settings import LogFormat

_QUIET = {"uvicorn.access": "CRITICAL", "httpx": "WARNING", "httpcore": "WARNING", "aiosqlite": "WARNING"}


def configure_logging(*, service: str, level: str = "INFO", log_format: LogFormat = LogFormat.AUTO) -> None:
    """Set up structlog and the standard library's logging for this process. Safe to call again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _primitives,
        _OpenTelemetryEvents(),
        _add_service(service),
        _add_trace,
    ]
    pretty = log_format is LogFormat.PRETTY or (log_format is LogFormat.AUTO and sys.stdout.isatty())
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
                    "foreign_pre_chain": [_add_logger_name, *shared],
                },
            },
            "handlers": {
                "stdout": {"()": _StandardOutput, "formatter": "structured"},
            },
            "root": {"handlers": ["stdout"], "level": level},
            "loggers": {
                **{name: {"level": quiet} for name, quiet in _QUIET.items()},
                # gunicorn and uvicorn bring handlers of their own; theirs go, ours speaks for them
                **{
                    name: {"handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.error", "gunicorn.error")
                },
            },
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _StandardOutput(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stdout` is now, not to what it was at set-up: tests and debuggers replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """The stream of the moment."""
        return sys.stdout

    @stream.setter
    def stream(self, _stream: TextIO) -> None: ...


class _OpenTelemetryEvents:
    """Hands each event to OpenTelemetry, except OpenTelemetry's own (an export failure must not log an export)."""

    def __init__(self) -> None:
        self._emit: StructlogProcessor | None = None

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        record = event.get("_record")
        if record is not None and record.name.startswith(("opentelemetry", "urllib3")):
            return event
        if self._emit is None:  # made late: the provider is set after logging is
            self._emit = StructlogProcessor()  # type: ignore[no-untyped-call]
        self._emit(logger, method, dict(event))
        return event


def _primitives(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Turn ids, times, enums and paths into strings: JSON and OpenTelemetry take the same values."""
    for key, value in event.items():
        if isinstance(value, Enum):
            event[key] = value.value
        elif isinstance(value, UUID | PurePath):
            event[key] = str(value)
        elif isinstance(value, datetime | date):
            event[key] = value.isoformat()
    return event


def _add_service(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _add_logger_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord | None = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


def _json(event: EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()
