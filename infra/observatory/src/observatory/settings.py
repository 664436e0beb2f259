"""What can be set, read once from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

MEBIBYTE = 1024 * 1024


class InvalidSettingError(ValueError):
    """A variable holds something that is no number in its range; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The backends' own port numbers, each moved by the same offset."""

    otlp: int
    jaeger: int
    loki: int
    mailpit: int
    smtp: int

    @classmethod
    def moved_by(cls, offset: int) -> Self:
        """Return the usual ports plus `offset`, so that two stacks can run side by side."""
        return cls(
            otlp=4318 + offset,
            jaeger=16686 + offset,
            loki=3100 + offset,
            mailpit=8025 + offset,
            smtp=1025 + offset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is kept; the oldest goes first. The byte bounds hold where single items are huge."""

    traces: int = 1_000
    spans: int = 12_000
    span_bytes: int = 16 * MEBIBYTE
    logs: int = 12_000
    log_bytes: int = 8 * MEBIBYTE
    mails: int = 500
    mail_bytes: int = 8 * MEBIBYTE
    request_bytes: int = 8 * MEBIBYTE  # one OTLP request, after decompression
    message_bytes: int = 2 * MEBIBYTE  # one email


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to listen and how much to keep."""

    host: str
    ports: Ports
    limits: Limits

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read HOST, HOPLINE_PORT_OFFSET and OBSERVATORY_MAX_{TRACES,SPANS,LOGS,MAILS}.

        Raises InvalidSettingError, naming the variable.
        """
        default = Limits()
        return cls(
            host=environ.get("HOST", "127.0.0.1"),
            ports=Ports.moved_by(_number(environ, "HOPLINE_PORT_OFFSET", default=0, low=-1_000, high=48_000)),
            limits=Limits(
                traces=_number(environ, "OBSERVATORY_MAX_TRACES", default=default.traces),
                spans=_number(environ, "OBSERVATORY_MAX_SPANS", default=default.spans),
                logs=_number(environ, "OBSERVATORY_MAX_LOGS", default=default.logs),
                mails=_number(environ, "OBSERVATORY_MAX_MAILS", default=default.mails),
            ),
        )


def _number(environ: Mapping[str, str], name: str, *, default: int, low: int = 1, high: int = 1_000_000) -> int:
    raw = environ.get(name)
    if raw is None or raw == "":
        return default
    if not (raw.isascii() and raw.isdecimal() and low <= int(raw) <= high):
        raise InvalidSettingError(f"{name}={raw!r}: expected a whole number from {low} to {high}")
    return int(raw)
