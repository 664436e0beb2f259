"""Lines as they leave the process: by our translation and encoding what the official ones make of the same events."""

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
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.instrumentation.structlog import StructlogProcessor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from structlog.contextvars import bound_contextvars

from shared.lines import Taken
from shared.log_export import LineExporter, LineQueue
from shared.logging import configure_logging
from shared.settings import LogFormat
from testkit.collector import Collector, running_collector

RESOURCE = Resource.create({"service.name": "test", "service.version": "1.2", "numbers": [1, 2]})
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
async def receiver() -> AsyncIterator[Collector]:
    async with running_collector() as receiver:
        yield receiver


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def collector(
    receiver: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Collector]:
    """Takes what is logged; nothing has come yet."""
    configure_logging(service="test", level="DEBUG", log_format=LogFormat.JSON)
    exporter = LineExporter(f"{receiver.url}/v1/logs", resource=RESOURCE, timeout=30)
    queue = LineQueue(exporter, schedule_delay_millis=3_600_000)  # all that a test says is one export, its own
    monkeypatch.setattr(Taken, "by", queue)
    yield receiver
    await asyncio.to_thread(queue.shutdown)
    receiver.logs.clear()
    configure_logging(service="test")


async def sent(collector: Collector) -> ExportLogsServiceRequest:
    assert Taken.by is not None
    await asyncio.to_thread(Taken.by.force_flush, 1000)
    [export] = collector.logs
    return export


async def records(collector: Collector) -> list[LogRecord]:
    export = await sent(collector)
    return [record for scope in export.resource_logs[0].scope_logs for record in scope.log_records]


def attributes(record: LogRecord) -> dict[str, str]:
    return {item.key: item.value.string_value for item in record.attributes}


class TestRecord:
    @pytest.mark.parametrize("span", [SAMPLED, UNSAMPLED, None], ids=["sampled", "unsampled", "no span"])
    async def test_says_what_the_official_translation_and_encoding_say(
        self, collector: Collector, span: SpanContext | None
    ) -> None:
        kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        official = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
        official.add_log_record_processor(SimpleLogRecordProcessor(kept))
        translate = StructlogProcessor(official)  # type: ignore[no-untyped-call]
        levels = ("debug", "info", "warning", "error", "critical")
        other = structlog.get_logger("shop.stock")
        with trace.use_span(NonRecordingSpan(span or trace.INVALID_SPAN_CONTEXT)), bound_contextvars(request_id="r-1"):
            for level in levels:
                getattr(log, level)("said", **VALUES)
                event = {"event": "said", "level": level, **VALUES, "request_id": "r-1"}
                translate(logging.getLogger("shop.orders"), level, event)
            other.info("counted")
            translate(logging.getLogger("shop.stock"), "info", {"event": "counted", "request_id": "r-1"})
        ours, theirs = await sent(collector), encode_logs(kept.get_finished_logs())
        for scope, expected in zip(ours.resource_logs[0].scope_logs, theirs.resource_logs[0].scope_logs, strict=True):
            for record, reference in zip(scope.log_records, expected.log_records, strict=True):
                reference.time_unix_nano = record.time_unix_nano
                reference.observed_time_unix_nano = record.observed_time_unix_nano
        assert str(ours) == str(theirs)
        assert ours == theirs

    async def test_has_the_time_and_the_ids_of_its_line(
        self, collector: Collector, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with trace.use_span(NonRecordingSpan(SAMPLED)):
            log.info("said")
        line = json.loads(capsys.readouterr().out)
        [record] = await records(collector)
        assert record.time_unix_nano // 1000 == round(datetime.fromisoformat(line["timestamp"]).timestamp() * 1e6)
        assert record.observed_time_unix_nano == record.time_unix_nano
        assert (line["trace_id"], line["span_id"]) == (record.trace_id.hex(), record.span_id.hex())

    async def test_tells_what_was_raised_as_its_line_does(
        self, collector: Collector, capsys: pytest.CaptureFixture[str]
    ) -> None:
        try:
            json.loads("{}")["ann@hopline.example"]
        except KeyError:
            log.exception("failed")
        line = json.loads(capsys.readouterr().out)
        [record] = await records(collector)
        told = attributes(record)
        assert told == {key: line[key] for key in ("exception.type", "exception.message", "exception.stacktrace")}
        assert told["exception.message"] == "'[address]'"
        assert "test_log_export.py" in told["exception.stacktrace"]

    async def test_tells_it_where_the_line_is_for_people_as_well(
        self, collector: Collector, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging(service="test", log_format=LogFormat.PRETTY)
        log.error("failed", exc_info=ValueError("ann@hopline.example"))
        line, *traceback = capsys.readouterr().out.splitlines()
        assert "failed" in line
        assert "exception.type" not in line
        assert any("ValueError" in shown for shown in traceback)
        [record] = await records(collector)
        assert attributes(record)["exception.message"] == "[address]"

    async def test_says_what_utf_8_and_64_bits_hold_of_what_they_do_not(self, collector: Collector) -> None:
        log.info("half \ud83d", half="\ud83d", large=2**64, inside={"\ud83d": ["\ud83d"]})
        log.info("whole")
        half, whole = await records(collector)
        assert half.body.string_value == "half ?"
        assert attributes(half) == {"half": "?", "large": "18446744073709551616", "inside": ""}
        [inside] = half.attributes[2].value.kvlist_value.values
        assert (inside.key, inside.value.array_value.values[0].string_value) == ("?", "?")
        assert whole.body.string_value == "whole"

    async def test_holds_what_was_said_and_not_what_became_of_it(self, collector: Collector) -> None:
        items = ["a"]
        log.info("said", items=items)
        items.append("b")
        [record] = await records(collector)
        assert len(record.attributes[0].value.array_value.values) == 1

    async def test_quotes_nobody_however_deep(self, collector: Collector, capsys: pytest.CaptureFixture[str]) -> None:
        log.info(
            "to ann@hopline.example",
            error=ValueError("ann@hopline.example"),
            inside=[{"ann@hopline.example": ("ann@hopline.example",)}],
        )
        assert "ann@" not in capsys.readouterr().out
        assert "ann@" not in str(await sent(collector))


class TestWhoIsTaken:
    async def test_everybody_by_name_but_the_exporter_itself(self, collector: Collector) -> None:
        for name in ("uvicorn.error", "opentelemetry.sdk", "urllib3.connectionpool"):
            logging.getLogger(name).error("%s said", name)
        [scope] = (await sent(collector)).resource_logs[0].scope_logs
        assert (scope.scope.name, scope.log_records[0].body.string_value) == ("uvicorn.error", "uvicorn.error said")
        assert attributes(scope.log_records[0]) == {"logger": "uvicorn.error"}

    async def test_nobody_below_the_level_of_the_moment(self, collector: Collector) -> None:
        root = logging.getLogger()
        for level in ("INFO", "DEBUG", "INFO"):
            root.setLevel(level)
            log.debug("said", at=level)
        assert [attributes(record) for record in await records(collector)] == [{"at": "DEBUG"}]


FORKED = """
import os, sys
import structlog
from shared.logging import configure_logging
from shared.settings import ServiceSettings, load_settings
from shared.telemetry import configure_telemetry, flush_telemetry

configure_logging(service="forked")
configure_telemetry(service="forked", settings=load_settings(ServiceSettings))
log = structlog.get_logger("forked")
child = os.fork()
log.info("told", by="parent" if child else "child")
if child:
    os.waitpid(child, 0)
flush_telemetry()
os._exit(0)
"""


async def test_parent_and_child_of_a_fork_each_send_their_own(collector: Collector) -> None:
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORKED, env=environment, stdout=asyncio.subprocess.PIPE
    )
    await process.communicate()
    told = [record for export in collector.logs for record in export.resource_logs[0].scope_logs[0].log_records]
    assert sorted(attributes(record)["by"] for record in told) == ["child", "parent"]
