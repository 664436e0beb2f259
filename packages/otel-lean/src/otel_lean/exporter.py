"""Exporter that sends ended spans to a collector by OTLP over HTTP, with the encoder of this package and urllib3."""

import gzip
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from http import HTTPStatus
from os import environ
from threading import Event
from typing import Final

import urllib3
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util.re import parse_env_headers

from otel_lean.encoder import encode

_log = logging.getLogger(__name__)

_DEFAULT_TIMEOUT_S = 10.0
_FIRST_PAUSE_S = 1.0
_RETRYABLE: Final = frozenset(
    (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )
)
"""https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes"""

_SUCCESS = range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)
_COMPRESSIONS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.compress, "deflate": zlib.compress}


class OTLPSpanExporter(SpanExporter):
    """Exports by OTLP/HTTP in protobuf, configured by `OTEL_EXPORTER_OTLP_*` and `OTEL_EXPORTER_OTLP_TRACES_*`.

    It retries transient failures after 1, 2, 4… s within the timeout of one export, as the official exporter does.
    """

    def __init__(self) -> None:
        endpoint = _variable("ENDPOINT", "http://localhost:4318").rstrip("/")
        self._endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or f"{endpoint}/v1/traces"
        self._timeout_s = _timeout_s()
        self._headers = {**parse_env_headers(_variable("HEADERS"), liberal=True)}
        self._headers["content-type"] = "application/x-protobuf"
        compression = _variable("COMPRESSION", "none").strip().lower()
        self._compress = _COMPRESSIONS.get(compression)
        if self._compress:
            self._headers["content-encoding"] = compression
        elif compression != "none":
            _log.warning("Ignored OTLP compression %r. Expected one of: none, gzip, deflate.", compression)
        self._pool = urllib3.PoolManager(
            retries=False,
            ca_certs=_variable("CERTIFICATE") or None,
            cert_file=_variable("CLIENT_CERTIFICATE") or None,
            key_file=_variable("CLIENT_KEY") or None,
        )
        self._closing = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch of spans. Blocks for at most the timeout."""
        body = encode(spans)
        if self._compress:
            body = self._compress(body)
        deadline, pause_s = time.monotonic() + self._timeout_s, _FIRST_PAUSE_S
        while not self._closing.is_set():
            failure, retryable = self._send(body, timeout_s=deadline - time.monotonic())
            if not failure:
                return SpanExportResult.SUCCESS
            if not retryable or time.monotonic() + pause_s > deadline:
                _log.error("Failed to export %s spans: %s", len(spans), failure)
                break
            self._closing.wait(pause_s)
            pause_s *= 2
        return SpanExportResult.FAILURE

    def _send(self, body: bytes, *, timeout_s: float) -> tuple[str, bool]:
        """Send `body` once. Return the failure (empty after success) and whether it is retryable."""
        timeout = urllib3.Timeout(total=max(timeout_s, 0.001))
        try:
            response = self._pool.request("POST", self._endpoint, body=body, headers=self._headers, timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return f"{type(error).__name__}: {error}", True
        if response.status in _SUCCESS:
            return "", False
        return f"status {response.status}", response.status in _RETRYABLE

    def shutdown(self) -> None:
        """End a running export and close the connections."""
        self._closing.set()
        self._pool.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the interface's
        """Return True, because this exporter has no queue."""
        return True


def _timeout_s() -> float:
    """Return the timeout of one export. As in the official exporter, an invalid one is replaced by the default."""
    text = _variable("TIMEOUT", str(_DEFAULT_TIMEOUT_S))
    try:
        return float(text)
    except ValueError:
        _log.warning("Ignored OTLP timeout %r. Expected seconds; the default is %g.", text, _DEFAULT_TIMEOUT_S)
        return _DEFAULT_TIMEOUT_S


def _variable(name: str, default: str = "") -> str:
    """Return the variable for traces, or else the one for all signals. An empty variable counts as unset."""
    return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(f"OTEL_EXPORTER_OTLP_{name}") or default
