"""The level that Loki detects for a log record."""

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from observatory.loki_labels import level


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("WARNING", 13, "warn"),
        ("WARNING", 0, "warn"),
        ("ERR", 0, "error"),
        ("CRITICAL", 21, "critical"),
        ("Notice", 10, "info"),
        ("", 1, "trace"),
        ("", 4, "trace"),
        ("", 5, "debug"),
        ("", 24, "fatal"),
        ("Notice", 0, "unknown"),
        ("", 0, "unknown"),
    ],
)
def test_level_is_detected_from_the_text_and_then_from_the_number(text: str, number: int, expected: str) -> None:
    message = LogRecord(severity_text=text)
    message.severity_number = number  # type: ignore[assignment]
    assert level(message) == expected
