"""Structured logs: structlog for Hopline's events, and its formatter for records of uvicorn, gunicorn and libraries.

Log events, not sentences: `log.info("order_placed", order_id=…)`. Each event is one JSON object on standard output (a
coloured line on a terminal) with `timestamp`, `level`, `event`, `service` and, if known, `trace_id`, `span_id`,
`request_id` and `user_id`. `configure_log_export` sends the same events to OpenTelemetry.

The set-up follows structlog's documentation: https://www.structlog.org/en/stable/performance.html for Hopline's events,
https://www.structlog.org/en/stable/standard-library.html for records of libraries.
"""

import asyncio
import logging
import logging.config
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.structlog import StructlogProcessor
from opentelemetry.sdk._logs import LoggerProvider  # the documented import path, despite its underscore
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.config import LogFormat
from shared.logging.redaction import redact_event
from shared.validation.text import terminal_line, terminal_text

_LEVELS = {
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.INFO,  # websockets uses this logger too
    **dict.fromkeys(
        ("aiohttp", "aiosmtplib", "asyncio", "httpcore", "httpx", "sqlalchemy", "urllib3"), logging.WARNING
    ),
    "shared.db.pool.MeasuredPool": logging.WARNING,  # SQLAlchemy names the logger of a pool by its class
}
"""Minimum levels of loggers that at DEBUG log every connection, every WebSocket frame and handshake header with its
credentials, or every row with its addresses and password hashes."""

_NOT_EXPORTED = ("opentelemetry", "urllib3")
"""Loggers of the export itself: a failed export must not cause another one."""


def configure_logging(*, service: str, level: str = "INFO", log_format: LogFormat = LogFormat.AUTO) -> None:
    """Set up structlog and the standard library's logging for this process. Safe to call again."""
    lowest = logging.getLevelNamesMapping()[level]
    pretty = log_format is LogFormat.PRETTY or (log_format is LogFormat.AUTO and sys.stdout.isatty())
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        format_exception,
        redact_event,
        log_export,
        partial(add_context, service),  # after the export, because an OpenTelemetry log record has fields for these ids
        *(_TEXT if pretty else _JSON),
    ]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [structlog.stdlib.add_logger_name],
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors],
                },
            },
            "handlers": {
                "stdout": {"class": "logging.StreamHandler", "stream": Stdout(), "formatter": "structured"},
            },
            "root": {"handlers": ["stdout"], "level": level},
            # uvicorn and gunicorn configure their own handlers, which this removes
            "loggers": {
                **{name: {"propagate": True} for name in ("uvicorn", "gunicorn.error")},
                **{name: {"level": max(minimum, lowest), "propagate": True} for name, minimum in _LEVELS.items()},
            },
        }
    )
    _processors[:] = [filter_by_level, *processors]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=StdoutLogger,
        cache_logger_on_first_use=True,
    )


_processors: list[Processor] = []
"""One list, changed in place, because cached loggers keep it when `configure_logging` is called again."""


def configure_log_export(*, resource: Resource, exporter: LogRecordExporter) -> LoggerProvider:
    """Emit log events as OpenTelemetry log records too, and export them in batches. Call after a fork.

    The queue reads `OTEL_BLRP_*`. A full queue drops its oldest records.
    """
    provider = LoggerProvider(resource, shutdown_on_exit=False)  # `flush_telemetry_at_exit` has a time limit
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    log_export.processor = StructlogProcessor(provider)  # type: ignore[no-untyped-call]
    return provider


class Stdout:
    """A stream that writes to the current `sys.stdout`. Errors of a closed stream are ignored."""

    def write(self, line: str) -> None:
        """Write `line` in one call and flush, because several threads write."""
        try:
            sys.stdout.write(line)
            sys.stdout.flush()
        except (OSError, ValueError):
            pass

    def flush(self) -> None:
        """Do nothing, because `write` flushes."""


class StdoutLogger(Stdout):
    """The logger that structlog wraps; unlike `structlog.WriteLogger` it has a name."""

    def __init__(self, name: str = "root") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write `line` to standard output."""
        self.write(f"{line}\n")

    debug = info = warning = error = critical = msg


def filter_by_level(logger: StdoutLogger, method_name: str, event: EventDict) -> EventDict:
    """Drop the event if the standard library's logger of the same name is set to a higher level.

    That level can be changed at runtime, unlike the one of structlog's filtering logger.
    """
    return structlog.stdlib.filter_by_level(logging.getLogger(logger.name), method_name, event)


def format_exception(_logger: WrappedLogger, _method_name: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the exception attributes of the semantic conventions."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception.type"] = type(error).__qualname__
        event["exception.message"] = str(error)
        event["exception.stacktrace"] = "".join(traceback.format_exception(error))
    return event


class LogExport:
    """Processor: emits the event as an OpenTelemetry log record once `configure_log_export` has been called."""

    processor: StructlogProcessor | None = None

    def __call__(self, logger: StdoutLogger | None, method_name: str, event: EventDict) -> EventDict:
        """Emit the event unless its logger belongs to the export."""
        if self.processor is None:
            return event
        name = logger.name if logger else event["logger"]  # `ProcessorFormatter` has no logger, but its record's name
        if not name.startswith(_NOT_EXPORTED):
            record = dict(event)
            if "user_id" in record:
                record["user.id"] = record.pop("user_id")  # the attribute of the semantic conventions
            self.processor(logger or logging.getLogger(name), method_name, record)
        return event


log_export = LogExport()


def add_context(service: str, _logger: WrappedLogger, _method_name: str, event: EventDict) -> EventDict:
    """Add the name of this process's service and the ids of the current span, if there is one."""
    event["service"] = service
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event


def _dumps(event: EventDict, default: Callable[[object], str]) -> str:
    line = orjson.dumps(event, default).decode()
    # JSON itself escapes all other control characters.
    return line if line.isascii() and "\x7f" not in line else terminal_line(line)


def _escape_control_characters(_logger: WrappedLogger, _method_name: str, event: EventDict) -> EventDict:
    """Escape control characters, because `ConsoleRenderer` writes most strings unchanged."""
    return {
        terminal_line(key): _escape_for_terminal(value, several_lines=key == "exception")
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _escape_for_terminal(value: str, *, several_lines: bool) -> str:
    return terminal_text(value) if several_lines else terminal_line(value)


def _show_stacktrace(_logger: WrappedLogger, _method_name: str, event: EventDict) -> EventDict:
    """Rename the stack trace to `exception`, which `ConsoleRenderer` prints below the line."""
    if "exception.stacktrace" in event:
        event["exception"] = event.pop("exception.stacktrace").rstrip()
    return event


_JSON: list[Processor] = [structlog.processors.JSONRenderer(serializer=_dumps, default=str)]
_TEXT: list[Processor] = [
    _show_stacktrace,
    _escape_control_characters,
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]


def debug_on_signal(level: str) -> None:
    """Toggle the root level between DEBUG and `level` on SIGUSR1. Call it within the event loop.

    Gunicorn's master forwards the signal to its workers.
    """
    if threading.current_thread() is threading.main_thread():  # other threads cannot handle signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _toggle_debug, level)


def _toggle_debug(level: str) -> None:
    root = logging.getLogger()
    chosen = level if root.level == logging.DEBUG else "DEBUG"
    root.setLevel(chosen)
    structlog.get_logger(__name__).warning("log_level_changed", chosen=chosen)
