"""Lines: what was raised has a shape, and what nobody may read is not in them."""

import io
import json

import pytest
import structlog

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


@pytest.mark.parametrize("value", ["\ud83d", 2**64])
def test_what_json_can_hardly_say_is_said_all_the_same(capsys: pytest.CaptureFixture[str], value: object) -> None:
    log.info("said", value=value)
    assert last_line(capsys)["value"] == value


def test_an_output_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr("sys.stdout", gone)
    log.info("said")
