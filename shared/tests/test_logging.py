"""Lines: what was raised has a shape, and what nobody may read is not in them."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

import pytest
import structlog
from opentelemetry.trace import SpanKind
from structlog.contextvars import bound_contextvars

from shared.lines import timestamp
from shared.logging import configure_logging
from shared.settings import LogFormat

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmVk"
log = structlog.get_logger("test")


@pytest.fixture(autouse=True)
def configured(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service="test", log_format=LogFormat.JSON)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    line: dict[str, str] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return line


class TestException:
    def test_has_type_message_and_stack(self, capsys: pytest.CaptureFixture[str]) -> None:
        try:
            json.loads("{}")["key"]
        except KeyError:
            log.exception("failed")
        line = last_line(capsys)
        assert (line["exception.type"], line["exception.message"]) == ("KeyError", "'key'")
        assert "test_logging.py" in line["exception.stacktrace"]
        assert "exc_info" not in line

    @pytest.mark.parametrize("given", [ValueError("ann@hopline.example is taken"), ValueError(f"Bearer {TOKEN}")])
    def test_quotes_nobody(self, capsys: pytest.CaptureFixture[str], given: Exception) -> None:
        log.error("failed", exc_info=given)
        line = json.dumps(last_line(capsys))
        assert "ann@" not in line
        assert TOKEN not in line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("to ann.b+c@mail.hopline.example now", "to [address] now"),
        ("postgresql://users:secret@127.0.0.1:5432/users", "postgresql://[credentials]@127.0.0.1:5432/users"),
        (f"token {TOKEN}", "token [token]"),
        ("orders@1", "orders@1"),
        ("/v2/orders", "/v2/orders"),
    ],
)
def test_a_value_is_redacted(capsys: pytest.CaptureFixture[str], value: str, shown: str) -> None:
    log.info("said", value=value)
    assert last_line(capsys)["value"] == shown


@pytest.mark.parametrize(
    ("value", "shown"),
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
    ],
)
def test_a_value_is_told_plainly(capsys: pytest.CaptureFixture[str], value: object, shown: object) -> None:
    log.info("said", value=value)
    assert last_line(capsys)["value"] == shown


@pytest.mark.parametrize("ns", [0, 1_764_107_279_999_999_999, 1_764_107_280_000_004_500])
def test_a_time_has_microseconds_and_is_utc(ns: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
    assert timestamp(ns) == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize("value", ["\ud83d", 2**64])
def test_what_json_can_hardly_say_is_said_all_the_same(capsys: pytest.CaptureFixture[str], value: object) -> None:
    log.info("said", value=value)
    assert last_line(capsys)["value"] == value


def test_a_logger_that_was_used_before_follows_a_new_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    log.info("said")
    configure_logging(service="another", log_format=LogFormat.JSON)
    log.info("said")
    assert last_line(capsys)["service"] == "another"


def test_the_bound_and_the_given_are_in_a_line_and_the_given_wins(capsys: pytest.CaptureFixture[str]) -> None:
    with bound_contextvars(request_id="r-1", user_id="u-1"):
        log.bind(order_id="o-1").info("said", user_id="u-2")
    log.info("said")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    said = {"event": "said", "level": "info", "service": "test"}
    assert {**said, "order_id": "o-1", "user_id": "u-2", "request_id": "r-1", "timestamp": first["timestamp"]} == first
    assert {**said, "timestamp": second["timestamp"]} == second


def test_an_output_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr("sys.stdout", gone)
    log.info("said")
