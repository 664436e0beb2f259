"""Details that a span's name omits: the table of a statement, the path of a request, the type of an event."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_DETAIL_ATTRIBUTES = ("hopline.notification.kind", "cloudevents.event_type", "db.collection.name", "db.query.summary")
_WRITTEN_TABLE = re.compile(r"\b(?:INTO|(?<!FOR\s)UPDATE)\s+\"?([a-z_][a-z0-9_.]*)", re.IGNORECASE)
_READ_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+\"?([a-z_][a-z0-9_.]*)\"?(?!\s*\(|[a-z0-9_.])", re.IGNORECASE)


def find_detail(operation: str, tags: Mapping[str, Any]) -> str:
    """Return the detail that the operation's name omits, "" if there is none or it is unknown.

    For a statement that writes, it is the first table written; for other statements, the first table read.
    """
    for name in _DETAIL_ATTRIBUTES:
        if value := tags.get(name):
            return "" if value == operation else str(value)
    if statement := tags.get("db.query.text"):
        table = _WRITTEN_TABLE.search(str(statement)) or _READ_TABLE.search(str(statement))
        return table[1] if table and table[1] not in operation else ""
    if tags.get("span.kind") == "client" and operation == tags.get("http.request.method"):
        return urlsplit(str(tags.get("url.full", ""))).path
    return ""


def find_repeat_reason(tags: Mapping[str, Any]) -> str:
    """Return why a span is a repeated attempt, "" for a first attempt."""
    if tags.get("hopline.applied_before"):
        return "applied before"
    if tags.get("hopline.messaging.redelivered"):
        return "redelivered"
    attempt = int(tags.get("hopline.job.attempt") or 0) or int(tags.get("http.request.resend_count") or 0) + 1
    return f"attempt {attempt}" if attempt > 1 else ""
