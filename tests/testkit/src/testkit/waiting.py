"""Waiting for a condition instead of sleeping for a guess."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

PATIENCE_S = 30.0
"""A machine may be busy; what is waited for mostly comes within milliseconds."""

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], timeout: float = ..., what: str | None = ...) -> T: ...  # noqa: ASYNC109
@overload
async def eventually(predicate: Callable[[], T], timeout: float = ..., what: str | None = ...) -> T: ...  # noqa: ASYNC109
async def eventually(
    predicate: Callable[[], Any],
    timeout: float = PATIENCE_S,  # noqa: ASYNC109 - the bound is the point
    what: str | None = None,
) -> Any:
    """Return the first truthy value of `predicate`, asked again and again for at most `timeout` seconds.

    The predicate may be plain or async; a raised `AssertionError` counts as "not yet", so that a block of
    asserts can be waited for as well (it then has to return something truthy).
    Raises `AssertionError` saying what was waited for, what was last seen and for how long.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause = _FIRST_PAUSE
    last: Any = None
    while True:
        try:
            value = predicate()
            last = await value if inspect.isawaitable(value) else value
            if last:
                return last
        except AssertionError as not_yet:
            last = not_yet
        if loop.time() >= deadline:
            waited_for = what or _describe(predicate)
            raise AssertionError(f"waited {timeout:g} s for {waited_for}; last seen: {last!r}")
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _describe(predicate: Callable[[], object]) -> str:
    """The predicate's source on one line, or its name where there is no source to read."""
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)
