"""Waiting for a condition instead of sleeping for a fixed time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

TIMEOUT_S = 30.0
"""Timeout for a busy machine. Most conditions become true within milliseconds."""

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], timeout: float = ..., what: str | None = ...) -> T: ...  # noqa: ASYNC109
@overload
async def eventually(predicate: Callable[[], T], timeout: float = ..., what: str | None = ...) -> T: ...  # noqa: ASYNC109
async def eventually(
    predicate: Callable[[], Any],
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - the function is about the timeout
    what: str | None = None,
) -> Any:
    """Call `predicate` repeatedly for at most `timeout` seconds, and return its first truthy value.

    The predicate can be a coroutine function. If it raises AssertionError, it is called again, so that it can contain
    assertions and then return True.

    Raises:
        AssertionError: No value was truthy in time. The message contains the condition, the last value and the timeout.
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
    """Return the source of the predicate on one line, or its name if the source is not available."""
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)
