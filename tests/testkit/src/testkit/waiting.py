"""Waiting for a condition instead of sleeping for a fixed time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

TIMEOUT_S = 30.0
"""Timeout for a busy machine. Most conditions become true within milliseconds."""

_FIRST_PAUSE_S = 0.002
_MAX_PAUSE_S = 0.05


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

    The predicate can be a coroutine function, which is cancelled at the timeout. If it raises AssertionError, it is
    called again, so that it can contain assertions and then return True. Other exceptions of the predicate propagate.

    Raises:
        AssertionError: No value was truthy in time. The message contains the condition, the last value and the timeout.
            The cause is the last AssertionError since a call returned. Without one, it is the TimeoutError of a call
            that was cancelled, which shows where the predicate waited.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause_s = _FIRST_PAUSE_S
    last: Any = None
    cause: AssertionError | TimeoutError | None = None
    while True:
        bound = asyncio.timeout_at(deadline)
        try:
            value = predicate()
            if inspect.isawaitable(value):
                async with bound:
                    value = await value
            if value:
                return value
            last, cause = value, None
        except AssertionError as error:
            last = cause = error
        except TimeoutError as error:
            if not bound.expired():
                raise
            cause = cause or error
        if loop.time() >= deadline:
            waited_for = what or _describe(predicate)
            raise AssertionError(f"waited {timeout:g} s for {waited_for}; last seen: {last!r}") from cause
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _MAX_PAUSE_S)


def _describe(predicate: Callable[[], object]) -> str:
    """Return the source of the predicate on one line, or its repr if the source is not available."""
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)
