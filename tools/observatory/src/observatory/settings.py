"""Settings, read once from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.validation.port_offset import parse_port_offset

MEBIBYTE = 1024 * 1024


class InvalidSettingError(ValueError):
    """A variable is not a number in its range. The message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The usual ports of the backends plus an offset."""

    otlp: int
    jaeger: int
    loki: int
    prometheus: int
    mailpit: int
    smtp: int

    @classmethod
    def with_offset(cls, offset: int) -> Self:
        """Return the usual ports plus `offset`, so that several stacks can run side by side."""
        return cls(
            otlp=4318 + offset,
            jaeger=16686 + offset,
            loki=3100 + offset,
            prometheus=9090 + offset,
            mailpit=8025 + offset,
            smtp=1025 + offset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each store evicts its oldest items when it exceeds its count or its bytes.

    `request_bytes` and `message_bytes` limit one request and one email.
    """

    traces: int = 1_000
    spans: int = 12_000
    span_bytes: int = 16 * MEBIBYTE
    logs: int = 12_000
    log_bytes: int = 8 * MEBIBYTE
    metric_series: int = 2_000
    metric_points: int = 400  # of one series
    metric_minutes: int = 60
    metric_bytes: int = 16 * MEBIBYTE
    mails: int = 500
    mail_bytes: int = 8 * MEBIBYTE
    request_bytes: int = 8 * MEBIBYTE  # one OTLP request after decompression
    message_bytes: int = 2 * MEBIBYTE  # one email


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Address, ports and limits."""

    host: str
    ports: Ports
    limits: Limits

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read HOST, HOPLINE_PORT_OFFSET and the variables OBSERVATORY_MAX_…. An empty variable means its default.

        Raises InvalidSettingError with the name of the variable.
        """
        default = Limits()
        return cls(
            host=environ.get("HOST") or "127.0.0.1",
            ports=Ports.with_offset(_port_offset(environ)),
            limits=Limits(
                traces=_number(environ, "OBSERVATORY_MAX_TRACES", default=default.traces),
                spans=_number(environ, "OBSERVATORY_MAX_SPANS", default=default.spans),
                logs=_number(environ, "OBSERVATORY_MAX_LOGS", default=default.logs),
                metric_series=_number(environ, "OBSERVATORY_MAX_SERIES", default=default.metric_series, high=20_000),
                metric_points=_number(
                    environ, "OBSERVATORY_MAX_POINTS", default=default.metric_points, low=2, high=10_000
                ),
                metric_minutes=_number(
                    environ, "OBSERVATORY_MAX_METRIC_MINUTES", default=default.metric_minutes, high=1_440
                ),
                mails=_number(environ, "OBSERVATORY_MAX_MAILS", default=default.mails),
            ),
        )


def _port_offset(environ: Mapping[str, str]) -> int:
    name = "HOPLINE_PORT_OFFSET"
    raw = environ.get(name, "")
    try:
        return parse_port_offset(raw)
    except ValueError as error:
        raise InvalidSettingError(f"{name}={raw!r}: {error}") from None


def _number(environ: Mapping[str, str], name: str, *, default: int, low: int = 1, high: int = 1_000_000) -> int:
    raw = environ.get(name)
    if raw is None or raw == "":
        return default
    if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
        raise InvalidSettingError(f"{name}={raw!r}: expected a whole number from {low} to {high}")
    return int(raw)
