"""The contrib instrumentations record the same spans with this provider as with the SDK's."""

import os
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_lean import LeanTracerProvider

os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
"""The instrumentations read the variable at their first use in the process, which can be in another test module."""


def create_app() -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/notes/{number}")
    async def get_note(number: int) -> int:
        return number

    @app.get("/unavailable")
    async def raise_http_exception() -> None:
        raise HTTPException(503)

    @app.get("/bug")
    async def raise_lookup_error() -> None:
        raise LookupError("no such note")

    return app


def describe(span: ReadableSpan) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind,
        "parent": span.parent is not None,
        "attributes": dict(span.attributes or {}),
        "status": (span.status.status_code, span.status.description),
        "events": [event.name for event in span.events],
        "scope": span.instrumentation_scope,
    }


async def record_spans(provider: TracerProvider, path: str) -> list[dict[str, Any]]:
    """Send one request, and return its CLIENT and SERVER spans."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, exclude_spans=["receive", "send"])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
        await client.get(path)
    return [describe(span) for span in exporter.get_finished_spans()]


@pytest.mark.parametrize("path", ["/notes/1?limit=5", "/notes/x", "/nothing", "/unavailable", "/bug"])
async def test_spans_of_the_same_requests_equal_those_of_the_sdk(path: str) -> None:
    lean = await record_spans(LeanTracerProvider(shutdown_on_exit=False), path)
    sdk = await record_spans(TracerProvider(shutdown_on_exit=False), path)
    assert lean == sdk
    assert len(lean) == 2
