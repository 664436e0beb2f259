"""Log events as OpenTelemetry log records, as a collector receives them."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from structlog.contextvars import bound_contextvars

from shared.config import LogFormat
from shared.logging.setup import configure_log_export, configure_logging, log_export
from testkit.collector import Collector, running_collector

RESOURCE = Resource.create({"service.name": "test", "service.version": "1.2"})
SAMPLED, UNSAMPLED = (
    SpanContext(0x1234 << 112, 0x56 << 8, is_remote=False, trace_flags=TraceFlags(flags)) for flags in (1, 0)
)
VALUES: dict[str, Any] = {
    "text": "fünf",
    "empty_text": "",
    "number": 3,
    "negative": -5,
    "large": 2**62,
    "zero": 0,
    "fraction": 0.25,
    "yes": True,
    "no": False,
    "nothing": None,
    "raw": b"\x00\xff",
    "items": ["a", 1, None, [True, 0.5]],
    "no_items": [],
    "mapping": {"a": {"b": [1.5, "c"]}},
    "empty_mapping": {},
}
log = structlog.get_logger("shop.orders")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def collector() -> AsyncIterator[Collector]:
    async with running_collector() as running:
        yield running


class Export:
    """The exported log records of one test."""

    def __init__(self, collector: Collector, provider: LoggerProvider) -> None:
        self._collector = collector
        self._provider = provider

    async def resource(self) -> ResourceLogs:
        """Flush the exporter, and return the exported resource with all its records."""
        await asyncio.to_thread(self._provider.force_flush)
        [request] = self._collector.logs
        [resource] = request.resource_logs
        return resource

    async def records(self) -> list[LogRecord]:
        """Flush the exporter, and return the exported records."""
        return [record for scope in (await self.resource()).scope_logs for record in scope.log_records]


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def export(
    collector: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Export]:
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "3600000")  # an hour, so that only a flush exports records
    monkeypatch.setattr(log_export, "processor", None)
    configure_logging(service="test", level="DEBUG", log_format=LogFormat.JSON)
    provider = configure_log_export(resource=RESOURCE, exporter=OTLPLogExporter(f"{collector.url}/v1/logs"))
    yield Export(collector, provider)
    await asyncio.to_thread(provider.shutdown)
    collector.logs.clear()
    configure_logging(service="test")


def decode_value(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [decode_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: decode_value(item.value) for item in value.kvlist_value.values}
        case kind:
            return getattr(value, kind)


def attributes_of(record: LogRecord) -> dict[str, Any]:
    return {item.key: decode_value(item.value) for item in record.attributes}


class TestRecord:
    @pytest.mark.parametrize("span", [SAMPLED, UNSAMPLED, None], ids=["sampled", "unsampled", "no span"])
    async def test_record_has_the_current_span_and_only_the_keys_of_the_event(
        self, export: Export, span: SpanContext | None
    ) -> None:
        with trace.use_span(NonRecordingSpan(span or trace.INVALID_SPAN_CONTEXT)), bound_contextvars(request_id="r-1"):
            log.info("placed", **VALUES)
        [record] = await export.records()
        assert record.body.string_value == "placed"
        assert attributes_of(record) == {**VALUES, "raw": str(VALUES["raw"]), "request_id": "r-1"}
        assert record.trace_id == (span.trace_id.to_bytes(16) if span else b"")
        assert record.span_id == (span.span_id.to_bytes(8) if span else b"")
        assert record.flags == (span.trace_flags if span else 0)

    async def test_record_has_the_severity_of_its_level(self, export: Export) -> None:
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(log, level)("placed")
        expected = [(5, "DEBUG"), (9, "INFO"), (13, "WARN"), (17, "ERROR"), (21, "FATAL")]
        assert [(record.severity_number, record.severity_text) for record in await export.records()] == expected

    async def test_record_has_the_resource_and_the_scope_of_its_logger(self, export: Export) -> None:
        log.info("placed")
        structlog.get_logger("shop.stock").info("counted")
        structlog.get_logger().info("unnamed")
        resource = await export.resource()
        attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
        assert attributes.items() >= {"service.name": "test", "service.version": "1.2"}.items()
        assert [scope.scope.name for scope in resource.scope_logs] == ["shop.orders", "shop.stock", "root"]

    async def test_record_has_the_time_and_the_ids_of_the_event_on_standard_output(
        self, export: Export, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with trace.use_span(NonRecordingSpan(SAMPLED)):
            log.info("placed")
        line = json.loads(capsys.readouterr().out)
        [record] = await export.records()
        written = datetime.fromisoformat(line["timestamp"]).timestamp()
        assert record.time_unix_nano / 1e9 == pytest.approx(written, abs=1e-6)
        assert (line["trace_id"], line["span_id"]) == (record.trace_id.hex(), record.span_id.hex())

    @pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.PRETTY])
    async def test_record_describes_an_exception_in_both_formats_of_standard_output(
        self, export: Export, log_format: LogFormat
    ) -> None:
        configure_logging(service="test", log_format=log_format)
        try:
            json.loads("{}")["ann@hopline.example"]
        except KeyError:
            log.exception("failed")
        [record] = await export.records()
        attributes = attributes_of(record)
        assert attributes.keys() == {"exception.type", "exception.message", "exception.stacktrace"}
        assert (attributes["exception.type"], attributes["exception.message"]) == ("KeyError", "'[address]'")
        assert "test_log_export.py" in attributes["exception.stacktrace"]

    async def test_value_is_replaced_when_utf_8_or_64_bits_cannot_represent_it(self, export: Export) -> None:
        log.info("half \ud83d", half="\ud83d", large=2**64, inside={"\ud83d": ["\ud83d"]})
        log.info("whole")
        half, whole = await export.records()
        assert half.body.string_value == "half ?"
        assert attributes_of(half) == {"half": "?", "large": "18446744073709551616", "inside": {"?": ["?"]}}
        assert whole.body.string_value == "whole"

    async def test_change_of_a_value_is_not_exported_when_it_follows_the_log_call(self, export: Export) -> None:
        items = ["a"]
        log.info("placed", items=items)
        items.append("b")
        [record] = await export.records()
        assert attributes_of(record) == {"items": ["a"]}

    async def test_body_and_attributes_of_a_record_are_redacted(self, export: Export) -> None:
        log.info(
            "to ann@hopline.example",
            error=ValueError("ann@hopline.example"),
            inside=[{"ann@hopline.example": ("ann@hopline.example",)}],
        )
        resource = str(await export.resource())
        assert "[address]" in resource
        assert "ann@" not in resource


class TestExportedRecords:
    async def test_records_of_the_standard_library_are_exported_except_those_of_the_exporter(
        self, export: Export
    ) -> None:
        with trace.use_span(NonRecordingSpan(SAMPLED)):
            for name in ("uvicorn.error", "opentelemetry.sdk", "urllib3.connectionpool"):
                logging.getLogger(name).error("%s failed", name)
        [scope] = (await export.resource()).scope_logs
        [record] = scope.log_records
        assert (scope.scope.name, record.body.string_value) == ("uvicorn.error", "uvicorn.error failed")
        assert attributes_of(record) == {"logger": "uvicorn.error"}
        assert record.trace_id == SAMPLED.trace_id.to_bytes(16)

    async def test_events_below_the_level_are_not_exported(self, export: Export) -> None:
        root = logging.getLogger()
        for level in ("INFO", "DEBUG", "INFO"):
            root.setLevel(level)
            log.debug("placed", at=level)
        assert [attributes_of(record) for record in await export.records()] == [{"at": "DEBUG"}]


async def run_program(source: str, collector: Collector) -> int | None:
    """Run a Python program that exports only log records, to `collector`, and return its exit status."""
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, env=environment, stdout=asyncio.subprocess.PIPE
    )
    await process.communicate()
    return process.returncode


FORKING_PROGRAM = """
import os
import structlog
from shared.logging.setup import configure_logging
from shared.config import ServiceSettings, load_settings
from shared.telemetry.setup import configure_telemetry, flush_telemetry

configure_logging(service="forked")
configure_telemetry(service="forked", settings=load_settings(ServiceSettings))
log = structlog.get_logger("forked")
child = os.fork()
log.info("forked", by="parent" if child else "child")
if child:
    os.waitpid(child, 0)
flush_telemetry()
os._exit(0)
"""


async def test_parent_and_child_of_a_fork_export_their_own_records(collector: Collector) -> None:
    assert await run_program(FORKING_PROGRAM, collector) == 0
    assert sorted(attributes_of(record)["by"] for record in collector.log_records()) == ["child", "parent"]


PROGRAM_WITH_FAILING_METRICS = """
import structlog
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from shared.logging.setup import configure_logging
from shared.config import ServiceSettings, load_settings
from shared.telemetry.setup import configure_telemetry, flush_telemetry

class FailingReader(InMemoryMetricReader):
    def force_flush(self, timeout_millis=10_000):
        raise TimeoutError

configure_logging(service="ending")
metrics.set_meter_provider(MeterProvider([FailingReader()]))
configure_telemetry(service="ending", settings=load_settings(ServiceSettings))
structlog.get_logger("ending").info("last")
flush_telemetry()
"""


async def test_log_records_are_exported_at_exit_when_the_flush_of_metrics_fails(collector: Collector) -> None:
    assert await run_program(PROGRAM_WITH_FAILING_METRICS, collector) == 0
    events = [record.body.string_value for record in collector.log_records()]
    assert events == ["last", "telemetry_flush_failed"]


class TestUser:
    async def test_user_id_is_exported_under_the_name_of_the_semantic_conventions(
        self, export: Export, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log.info("order_placed", user_id="u-1")
        [record] = await export.records()
        assert attributes_of(record) == {"user.id": "u-1"}
        assert json.loads(capsys.readouterr().out)["user_id"] == "u-1"
