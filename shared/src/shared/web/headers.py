"""Access to single headers of an ASGI message, cheaper than the classes that index all of them."""

from collections.abc import Iterable

from starlette.types import Message, Scope

Header = tuple[bytes, bytes]


def get_header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of the header `name`, which is in lower case, or None."""
    for header, value in scope["headers"]:
        if header == name:
            return str(value, "latin-1")
    return None


def add_headers(message: Message, pairs: Iterable[Header]) -> None:
    """Add headers to a response start message."""
    message["headers"] = [*message["headers"], *pairs]


def add_missing_headers(message: Message, pairs: Iterable[Header]) -> None:
    """Add those of `pairs` that a response start message does not have. Their names must be in lower case."""
    present = {name.lower() for name, _ in message["headers"]}
    add_headers(message, [pair for pair in pairs if pair[0] not in present])
