"""Log events on standard output: their keys, redaction and exceptions, and the records of the standard library."""

import io
import json
import logging
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from structlog.contextvars import bound_contextvars
from structlog.testing import capture_logs

from shared.config import LogFormat
from shared.logging.setup import configure_logging

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmVk"
SPAN = SpanContext(0x1234 << 112, 0x56 << 8, is_remote=False, trace_flags=TraceFlags(1))
log = structlog.get_logger("test")


@pytest.fixture(autouse=True)
def configure(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service="test", log_format=LogFormat.JSON)


def read_events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


class TestKeys:
    def test_event_has_bound_context_and_the_innermost_value_wins(self, capsys: pytest.CaptureFixture[str]) -> None:
        with bound_contextvars(request_id="r-1", user_id="u-1"):
            log.bind(order_id="o-1").info("placed", user_id="u-2")
        log.info("placed")
        first, second = read_events(capsys)
        expected = {"event": "placed", "level": "info", "service": "test"}
        bound = {"order_id": "o-1", "user_id": "u-2", "request_id": "r-1"}
        assert first == {**expected, **bound, "timestamp": first["timestamp"]}
        assert second == {**expected, "timestamp": second["timestamp"]}

    def test_event_has_the_ids_of_the_current_span(self, capsys: pytest.CaptureFixture[str]) -> None:
        with trace.use_span(NonRecordingSpan(SPAN)):
            log.info("placed")
        [event] = read_events(capsys)
        assert (event["trace_id"], event["span_id"]) == (f"{SPAN.trace_id:032x}", f"{SPAN.span_id:016x}")

    def test_timestamp_is_iso_8601_in_utc(self, capsys: pytest.CaptureFixture[str]) -> None:
        before = datetime.now(UTC)
        log.info("placed")
        timestamp = read_events(capsys)[0]["timestamp"]
        assert timestamp.endswith("Z")
        assert before <= datetime.fromisoformat(timestamp) <= datetime.now(UTC)

    @pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
    def test_level_is_the_name_of_the_method(self, capsys: pytest.CaptureFixture[str], level: str) -> None:
        configure_logging(service="test", level="DEBUG", log_format=LogFormat.JSON)
        getattr(log, level)("placed")
        assert read_events(capsys)[0]["level"] == level

    def test_positional_arguments_are_interpolated_into_the_event(self, capsys: pytest.CaptureFixture[str]) -> None:
        log.info("placed %s of %d", "one", 2)
        assert read_events(capsys)[0]["event"] == "placed one of 2"

    def test_event_is_written_when_its_logger_has_no_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        structlog.get_logger().info("placed")
        assert read_events(capsys)[0]["event"] == "placed"


class TestLevel:
    def test_events_below_the_level_are_dropped_when_the_level_changes_at_runtime(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = logging.getLogger()
        for level in ("INFO", "DEBUG", "INFO"):
            root.setLevel(level)
            log.debug("placed", root_level=level)
        assert [event["root_level"] for event in read_events(capsys)] == ["DEBUG"]

    def test_logger_uses_its_own_level_when_it_has_one(
        self, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
    ) -> None:
        request.addfinalizer(lambda: logging.getLogger("test").setLevel(logging.NOTSET))
        logging.getLogger("test").setLevel("ERROR")
        log.warning("placed")
        structlog.get_logger("test.other").error("placed")
        structlog.get_logger("another").info("counted")
        assert [event["event"] for event in read_events(capsys)] == ["placed", "counted"]


class TestException:
    def test_exception_is_described_by_type_message_and_stacktrace(self, capsys: pytest.CaptureFixture[str]) -> None:
        try:
            json.loads("{}")["key"]
        except KeyError:
            log.exception("failed")
        [event] = read_events(capsys)
        assert (event["exception.type"], event["exception.message"]) == ("KeyError", "'key'")
        assert "test_logging.py" in event["exception.stacktrace"]
        assert event["level"] == "error"
        assert "exc_info" not in event

    def test_exception_is_described_when_exc_info_is_an_exception_a_tuple_or_true(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        try:
            int("one")
        except ValueError as error:
            for exc_info in (error, sys.exc_info(), True):
                log.warning("failed", exc_info=exc_info)
        assert [event["exception.type"] for event in read_events(capsys)] == ["ValueError"] * 3

    def test_exc_info_is_ignored_when_there_is_no_exception(self, capsys: pytest.CaptureFixture[str]) -> None:
        for exc_info in (True, False, None):
            log.error("failed", exc_info=exc_info)
        for event in read_events(capsys):
            assert event.keys() == {"event", "level", "service", "timestamp"}

    @pytest.mark.parametrize("error", [ValueError("ann@hopline.example is taken"), ValueError(f"Bearer {TOKEN}")])
    def test_message_and_stacktrace_are_redacted(self, capsys: pytest.CaptureFixture[str], error: Exception) -> None:
        log.error("failed", exc_info=error)
        line = capsys.readouterr().out
        assert "ValueError" in line
        assert "ann@" not in line
        assert TOKEN not in line

    def test_stacktrace_is_redacted_and_follows_the_line_when_the_format_is_pretty(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging(service="test", log_format=LogFormat.PRETTY)
        log.error("failed", exc_info=ValueError("ann@hopline.example"))
        line, *stacktrace = capsys.readouterr().out.splitlines()
        assert "failed" in line
        assert "stacktrace" not in line
        assert stacktrace[-1] == "ValueError: [address]"


class TestControlCharacters:
    HOSTILE = "\x1b]0;owned\x07 \x9b31m\x7f\r\n\u202e\u2066"

    def test_control_characters_are_escaped_when_the_format_is_pretty(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging(service="test", log_format=LogFormat.PRETTY)
        colour_codes = self._list_unprintable(self._log(capsys, "printable"))
        assert self._list_unprintable(self._log(capsys, self.HOSTILE)) == colour_codes

    def test_control_characters_are_escaped_when_the_format_is_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = self._log(capsys, self.HOSTILE)
        assert line.rstrip("\n").isprintable()
        assert json.loads(line)["value"] == self.HOSTILE

    def _log(self, capsys: pytest.CaptureFixture[str], text: str) -> str:
        """Log an event with `text` in all places, and return what is written."""
        log.info(text, value=text, word=text.replace(" ", ""), nested=[text], **{text.replace(" ", ""): "x"})
        return capsys.readouterr().out

    def _list_unprintable(self, line: str) -> list[str]:
        return [character for character in line if not character.isprintable()]


class TestValue:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("to ann.b+c@mail.hopline.example now", "to [address] now"),
            ("postgresql://users:secret@127.0.0.1:5432/users", "postgresql://[credentials]@127.0.0.1:5432/users"),
            ("redis://:p@ss@localhost:6379/0", "redis://[credentials]@localhost:6379/0"),
            (f"token {TOKEN}", "token [token]"),
            (f"{TOKEN}, eyJ, eyJa.b and eyJ{TOKEN}", "[token], eyJ, eyJa.b and [token]"),
            ("ann@hopline.example+bob@hopline.example, @a@b.", "[address][address], @a@b."),
            ("to 'o'neil@hopline.example'", "to '[address]'"),
            ("input_value='ann/shop=a@hopline.example'", "input_value='[address]'"),
            ("to ann!?@hopline.example", "to [address]"),
            (b"ann@hopline.example", "[address]'"),
            ([{"ann@hopline.example": ("ann@hopline.example",)}], [{"[address]": ["[address]"]}]),
            ("orders@1", "orders@1"),
            ("/v2/orders", "/v2/orders"),
            ("fünf", "fünf"),
        ],
    )
    def test_value_is_redacted(self, capsys: pytest.CaptureFixture[str], value: object, expected: object) -> None:
        log.info("placed", value=value)
        assert read_events(capsys)[0]["value"] == expected

    @pytest.mark.parametrize(
        "value", ["'a' * 4_000_000 + '@'", "'a/' * 2_000_000 + '@'", "'@' + 'a' * 4_000_000", "'eyJ' * 1_000_000"]
    )
    def test_redaction_takes_linear_time(self, value: str) -> None:
        """The redaction runs in another process, which a timeout can kill. Quadratic time would take hours."""
        program = f"from shared.logging.redaction import redact_text; text = {value}; assert redact_text(text) == text"
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)  # noqa: S603 - our own program

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
            (PurePosixPath("/v2/orders"), "/v2/orders"),
            (datetime(2026, 11, 25, 1, tzinfo=UTC), "2026-11-25T01:00:00+00:00"),
            (date(2026, 11, 25), "2026-11-25"),
            (LogFormat.JSON, "json"),
            (SpanKind.SERVER, 1),
            (timedelta(seconds=1), "0:00:01"),
            (ValueError("taken"), "taken"),
            (b"raw", "b'raw'"),
            ({UUID(int=0): (date(2026, 11, 25), None, [True])}, {str(UUID(int=0)): ["2026-11-25", None, [True]]}),
            ("half \ud83d", "half ?"),
            (2**64, "18446744073709551616"),
        ],
    )
    def test_value_is_written_as_json(
        self, capsys: pytest.CaptureFixture[str], value: object, expected: object
    ) -> None:
        log.info("placed", value=value)
        assert read_events(capsys)[0]["value"] == expected


class TestStandardLibrary:
    @pytest.mark.parametrize("name", ["uvicorn.error", "gunicorn.error", "a.library"])
    def test_record_has_the_same_keys_and_names_its_logger(self, capsys: pytest.CaptureFixture[str], name: str) -> None:
        with bound_contextvars(request_id="r-1"), trace.use_span(NonRecordingSpan(SPAN)):
            logging.getLogger(name).warning("%d failed", 2)
        [event] = read_events(capsys)
        assert event == {
            "event": "2 failed",
            "level": "warning",
            "logger": name,
            "request_id": "r-1",
            "service": "test",
            "span_id": f"{SPAN.span_id:016x}",
            "timestamp": event["timestamp"],
            "trace_id": f"{SPAN.trace_id:032x}",
        }

    def test_exception_is_described_and_redacted(self, capsys: pytest.CaptureFixture[str]) -> None:
        try:
            int("ann@hopline.example")
        except ValueError:
            logging.getLogger("a.library").exception("for ann@hopline.example")
        [event] = read_events(capsys)
        assert event["event"] == "for [address]"
        assert event["exception.message"] == "invalid literal for int() with base 10: '[address]'"
        assert event["exception.type"] == "ValueError"
        assert "ann@" not in event["exception.stacktrace"]

    def test_info_records_of_sqlalchemy_and_uvicorns_access_log_are_dropped_when_the_level_is_debug(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging(service="test", level="DEBUG", log_format=LogFormat.JSON)
        logging.getLogger("sqlalchemy.engine").info("a row")
        logging.getLogger("uvicorn.access").info("a request")
        assert not read_events(capsys)

    @pytest.mark.parametrize("name", ["sqlalchemy.pool", "uvicorn.error", "a.library"])
    def test_record_is_dropped_when_its_level_is_below_the_configured_one(
        self, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        configure_logging(service="test", level="ERROR", log_format=LogFormat.JSON)
        logging.getLogger(name).warning("a reset connection")
        assert not read_events(capsys)


def test_used_logger_follows_a_new_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("placed")
    configure_logging(service="another", log_format=LogFormat.JSON)
    log.info("placed")
    assert [event["service"] for event in read_events(capsys)] == ["test", "another"]


def test_events_of_a_used_logger_can_be_captured(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("placed")
    with capture_logs() as events:
        log.info("captured", order_id="o-1")
    log.info("placed")
    assert events == [{"event": "captured", "log_level": "info", "order_id": "o-1"}]
    assert [event["event"] for event in read_events(capsys)] == ["placed", "placed"]


def test_logging_has_no_effect_when_standard_output_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    closed = io.StringIO()
    closed.close()
    with redirect_stdout(closed):
        log.info("placed")
        logging.getLogger("a.library").warning("failed")
    assert not capsys.readouterr().err
