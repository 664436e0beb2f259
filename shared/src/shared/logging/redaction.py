"""Redaction of email addresses, JWTs and credentials in URLs, in log events and in exceptions recorded on spans.

Hopline does not log them, but exceptions of other packages quote the values that they failed on.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from enum import Enum

from structlog.typing import EventDict, WrappedLogger

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_ADDRESS = re.compile(r"[\w.+-]++(?:[!#$%&'*/=?^`{|}~][\w.+-]++)*+(?:[!#$%&'*/=?^`{|}~]*+(@[\w-]++(?:\.[\w-]++)+))?")
_TOKEN = re.compile(r"eyJ[\w-]++(\.[\w-]++\.[\w-]++)?")
"""`_ADDRESS` and `_TOKEN` also match text that is not replaced. Otherwise the search would start again at each
character of a long word, which takes quadratic time."""

_UNCHANGED = frozenset({float, bool, type(None)})
_INT64 = range(-(2**63), 2**63)


def redact_event(_logger: WrappedLogger, _method_name: str, event: EventDict) -> EventDict:
    """Redact every value of the event (structlog processor).

    Afterwards all values are of types that JSON and OTLP can represent, and no list or dict is shared with the caller.
    """
    for key, value in event.items():
        event[key] = redact_value(value)
    return event


def redact_value(value: object) -> object:
    """Return `value` redacted, including nested values, as a type that JSON and OTLP can represent."""
    if type(value) is str:
        return redact_text(value)
    if type(value) in _UNCHANGED or (type(value) is int and value in _INT64):
        return value
    if isinstance(value, Enum):
        return redact_value(value.value)
    if isinstance(value, list | tuple):
        return [redact_value(item) for item in value]
    if isinstance(value, dict):
        return {redact_text(str(key)): redact_value(item) for key, item in value.items()}
    return redact_text(value.isoformat() if isinstance(value, datetime | date) else str(value))


def redact_text(text: str) -> str:
    """Return `text` without addresses, tokens and credentials, and encodable as UTF-8."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()  # lone surrogates would fail the export of a whole batch
    if "@" in text:
        text = _ADDRESS.sub(_replacement("[address]"), _CREDENTIALS.sub("[credentials]@", text))
    return _TOKEN.sub(_replacement("[token]"), text) if "eyJ" in text else text


def _replacement(word: str) -> Callable[[re.Match[str]], str]:
    """Return a function that replaces a match by `word` if it has group 1, and otherwise keeps it unchanged."""
    return lambda found: word if found[1] else found[0]
