"""Structured logs: one formatter for our events, the standard library's, uvicorn's and gunicorn's.

Log events, not sentences: `log.info("order_placed", order_id=…)`. Each line is one JSON object (or a coloured line on
a terminal) with `timestamp`, `level`, `event`, `service`, and where there are any `trace_id`, `span_id`,
`request_id`, `user_id`. The same event goes to OpenTelemetry when telemetry is exported.
"""

import asyncio
import json
import logging
import logging.config
import signal
import sys
import threading
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.event_logger import EventLogger
from shared.lines import Completed
from shared.settings import LogFormat

_processors: list[Processor] = []
"""The same list however often logging is set up: loggers that were used before keep it."""

_QUIET = {
    "uvicorn.access": "CRITICAL",
    **dict.fromkeys(("aiohttp", "aiosmtplib", "asyncio", "httpcore", "httpx", "sqlalchemy", "urllib3"), "WARNING"),
}
"""At DEBUG these would tell of every connection, and SQLAlchemy of every row, with addresses and password hashes."""


def configure_logging(*, service: str, level: str = "INFO", log_format: LogFormat = LogFormat.AUTO) -> None:
    """Set up structlog and the standard library's logging for this process. Safe to call again."""
    pretty = log_format is LogFormat.PRETTY or (log_format is LogFormat.AUTO and sys.stdout.isatty())
    completed = Completed(service=service, keep_exceptions=pretty)
    rendered: Processor = structlog.dev.ConsoleRenderer() if pretty else _json
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [_Foreign(completed), rendered],
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
    _processors[:] = [completed, rendered, _written]
    structlog.configure(
        processors=_processors,
        wrapper_class=EventLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
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


class _Foreign:
    """Completes what was logged by the standard library's means, and says by whom."""

    def __init__(self, completed: Completed) -> None:
        self._completed = completed

    def __call__(self, _logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event.pop("_record")
        del event["_from_structlog"]
        event["logger"] = record.name
        return self._completed(logging.getLogger(record.name), level, event)


def _json(_logger: WrappedLogger, _level: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # half of a surrogate pair, a number beyond 64 bits
        return json.dumps(event, default=str)


def _written(_logger: WrappedLogger, _level: str, line: EventDict | str) -> str:
    """End the way of our own events: to standard output at once, in one piece, because threads log as well.

    The standard library's logger gives them its level and nothing else: a record that is made, filled in with who
    called, copied and handed from logger to logger would cost more than all of the line. As there, an output that is
    gone stops nobody's work.
    """
    try:  # where `suppress` would take half as long as the writing itself
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
    return ""
