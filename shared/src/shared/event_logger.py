"""What `structlog.get_logger()` is: the standard library's levels, and a way to the processors without detours."""

import logging

import structlog
from structlog.typing import EventDict


class EventLogger(structlog.BoundLoggerBase):
    """Tells events as the processors have them written. An event below its logger's level costs half a microsecond."""

    _logger: logging.Logger

    def debug(self, event: str, **values: object) -> None:
        """Tell what is too much for every day; SIGUSR1 shows it."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._tell("debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """Tell what happened."""
        if self._logger.isEnabledFor(logging.INFO):
            self._tell("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """Tell what somebody may want to look at."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._tell("warning", event, values)

    def error(self, event: str, **values: object) -> None:
        """Tell what went wrong."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._tell("error", event, values)

    def exception(self, event: str, **values: object) -> None:
        """Tell what went wrong, and by which exception: the one being handled unless `exc_info` is another."""
        self.error(event, **{"exc_info": True, **values})

    def critical(self, event: str, **values: object) -> None:
        """Tell what ends the process."""
        if self._logger.isEnabledFor(logging.CRITICAL):
            self._tell("critical", event, values)

    def _tell(self, level: str, event: str, values: dict[str, object]) -> None:
        told: EventDict = {**self._context, **values, "event": event}
        try:
            for process in self._processors:
                told = process(self._logger, level, told)  # type: ignore[assignment]  # the last ones make text of it
        except structlog.DropEvent:
            return
