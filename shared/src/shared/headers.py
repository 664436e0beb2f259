"""Single headers of an ASGI message, past the classes that index all of them: middlewares look for one each."""

from collections.abc import Iterable

from starlette.types import Message, Scope

Pair = tuple[bytes, bytes]


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of a request with this name, which is in lower case as ASGI has them; None without one."""
    for given, value in scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return None


def add(message: Message, pairs: Iterable[Pair]) -> None:
    """Put more headers on an answer that begins."""
    message["headers"] = [*message["headers"], *pairs]


def add_missing(message: Message, pairs: Iterable[Pair]) -> None:
    """Put those on an answer that it has not got by itself."""
    there = {name.lower() for name, _ in message["headers"]}
    add(message, [pair for pair in pairs if pair[0] not in there])
