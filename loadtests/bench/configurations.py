"""The configurations that benchmarks compare: the standard packages alone, each drop-in of packages/, and both."""

from collections.abc import Mapping
from typing import Final

STANDARD: Final[Mapping[str, str]] = {"OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider", "HTTP_TRANSPORT": "aiohttp"}
"""The spans and the exporter of the OpenTelemetry SDK, and httpx over aiohttp: the defaults of the settings."""

OTEL_LEAN: Final[Mapping[str, str]] = {**STANDARD, "OTEL_PYTHON_TRACER_PROVIDER": "lean"}
HTTPX_HTTPTOOLS: Final[Mapping[str, str]] = {**STANDARD, "HTTP_TRANSPORT": "httptools"}

DROP_INS: Final[Mapping[str, str]] = {"OTEL_PYTHON_TRACER_PROVIDER": "lean", "HTTP_TRANSPORT": "httptools"}
"""Both drop-ins, as Compose, the embedded mode and Kubernetes set them."""
