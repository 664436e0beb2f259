"""Times in the parameters of queries."""

from datetime import datetime


def rfc3339_s(text: str) -> float:
    """Return the seconds since the epoch of a time in RFC 3339.

    Raises:
        ValueError: It is malformed, or has no offset from UTC (RFC 3339 §5.6).
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text!r} has no offset: add Z or an offset such as +02:00")
    return time.timestamp()
