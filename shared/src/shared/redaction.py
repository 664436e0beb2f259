"""What a line may hold: values that JSON and OpenTelemetry take as they are, and nothing that must not be kept.

Nobody logs addresses, tokens or the passwords of URLs on purpose; other people's exceptions quote what they stumbled
over.
"""

import re
import sys
import traceback
from collections.abc import MutableMapping
from datetime import date, datetime
from enum import Enum

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")

AS_IT_IS = frozenset({int, float, bool, bytes, type(None)})
"""What needs neither translation nor redaction; bytes become text where JSON is written."""


def redacted(text: str) -> str:
    """`text` without addresses, tokens and credentials."""
    if "@" in text:
        text = _ADDRESS.sub("[address]", _CREDENTIALS.sub("[credentials]@", text))
    return _TOKEN.sub("[token]", text) if "eyJ" in text else text


def plain(value: object) -> object:
    """`value` as JSON and OpenTelemetry take it, redacted all the way down; a copy where it could still be changed."""
    if isinstance(value, Enum):
        value = value.value
    if type(value) in AS_IT_IS:
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {redacted(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    return redacted(str(value))


def tell_exception(event: MutableMapping[str, object]) -> None:
    """Say what was raised by the names of the semantic conventions, in place of `exc_info`."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception.type"] = type(error).__qualname__
        event["exception.message"] = redacted(str(error))
        event["exception.stacktrace"] = redacted("".join(traceback.format_exception(error)))
