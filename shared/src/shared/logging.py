"""Structured logs: one formatter for our events, the standard library's, uvicorn's and gunicorn's.

Log events, not sentences: `log.info("order_placed", order_id=…)`. Each line is one JSON object (or a coloured line on
a terminal) with `timestamp`, `level`, `event`, `service`, and where there are any `trace_id`, `span_id`,
`request_id`, `user_id`. The same event goes to OpenTelemetry when telemetry is exported.
"""

import asyncio
import contextlib
import json
import logging
import logging.config
import re
import signal
import sys
import threading
import traceback
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import NoReturn, TextIO
from uuid import UUID

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.structlog import StructlogProcessor
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.settings import LogFormat

_QUIET = {
    "uvicorn.access": "CRITICAL",
    **dict.fromkeys(("aiohttp", "aiosmtplib", "asyncio", "httpcore", "httpx", "sqlalchemy", "urllib3"), "WARNING"),
}
"""At DEBUG these would tell of every connection, and SQLAlchemy of every row, with addresses and password hashes."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


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
        else [_structure_exception, structlog.processors.JSONRenderer(serializer=_json)]
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
        processors=[structlog.stdlib.filter_by_level, *shared, *renderer, _written],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def debug_on_signal(level: str) -> None:
    """Have SIGUSR1 turn DEBUG on, and the next one turn it off again, back to `level`. Call it within the event loop.

    Gunicorn's master passes the signal on to all its workers; of the files that it would reopen there are none.
    """
    if threading.current_thread() is threading.main_thread():  # signals reach no other
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _toggle_debug, level)


def _toggle_debug(level: str) -> None:
    root = logging.getLogger()
    chosen = level if root.level == logging.DEBUG else "DEBUG"
    root.setLevel(chosen)
    structlog.get_logger(__name__).warning("log_level_changed", chosen=chosen)


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


def _written(_logger: WrappedLogger, _method: str, line: EventDict | str) -> NoReturn:
    """End the way of our own events: to standard output at once, in one piece, because threads log as well.

    The standard library's logger gives them its level and nothing else: a record that is made, filled in with who
    called, copied and handed from logger to logger costs half of an access line. As there, an output that is gone stops
    nobody's work.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    raise structlog.DropEvent


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
        self._emit(logger, method, dict(_structure_exception(logger, method, dict(event))))
        return event


def _structure_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say what was raised by the names of the semantic conventions, in lines as in OpenTelemetry."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception.type"] = type(error).__qualname__
        event["exception.message"] = redacted(str(error))
        event["exception.stacktrace"] = redacted("".join(traceback.format_exception(error)))
    return event


def redacted(text: str) -> str:
    """Take out what must not be kept: addresses, tokens, the passwords of URLs.

    Nobody logs these on purpose; other people's exceptions quote what they stumbled over.
    """
    if "@" in text:
        text = _ADDRESS.sub("[address]", _CREDENTIALS.sub("[credentials]@", text))
    return _TOKEN.sub("[token]", text) if "eyJ" in text else text


def _primitives(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Turn ids, times, enums and paths into strings, as JSON and OpenTelemetry take them, and redact strings."""
    for key, value in event.items():
        if isinstance(value, Enum):
            event[key] = value.value
        elif isinstance(value, UUID | PurePath):
            event[key] = str(value)
        elif isinstance(value, datetime | date):
            event[key] = value.isoformat()
        elif isinstance(value, str):
            event[key] = redacted(value)
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
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # half of a surrogate pair, a number beyond 64 bits
        return json.dumps(event, default=str)
