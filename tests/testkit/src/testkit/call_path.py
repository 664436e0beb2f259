"""The functions of this repository that a request calls, for tests that limit their number."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

_ROOT = Path(__file__).parents[4]
_OWN_CODE = tuple(f"{_ROOT}/{folder}/" for folder in ("services", "shared", "packages"))
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<module>"})
_REPEATS = 3

Function = tuple[str, str]
"""The path of a file from the root of the repository, and the qualified name of a function in it."""


async def record_calls(request: Callable[[], Awaitable[None]], *, until_write_of: str) -> set[Function]:
    """Return the functions that this thread calls for a request, until the package `until_write_of` writes its bytes.

    `request` sends the request. It is repeated: the first run fills caches, and only functions that all further runs
    call are returned. Calls in tasks that run already, such as the relay, are not recorded, nor are comprehensions and
    tests.
    """
    await request()
    runs = [await _record_run(request, until_write_of) for _ in range(_REPEATS)]
    return set.intersection(*runs)


async def _record_run(request: Callable[[], Awaitable[None]], package: str) -> set[Function]:
    called: set[Function] = set()
    other_tasks = asyncio.all_tasks()

    def on_event(frame: FrameType, event: str, argument: object) -> None:
        is_builtin = event == "c_call"
        name = getattr(argument, "__name__", "") if is_builtin else frame.f_code.co_name
        caller = frame if is_builtin else frame.f_back
        if name == "write" and caller and f"/{package}/" in caller.f_code.co_filename:
            sys.setprofile(None)
        elif event == "call" and asyncio.current_task() not in other_tasks:
            file = frame.f_code.co_filename
            if file.startswith(_OWN_CODE) and "/tests/" not in file and name not in _COMPREHENSIONS:
                called.add((file.removeprefix(f"{_ROOT}/"), frame.f_code.co_qualname))

    sys.setprofile(on_event)
    try:
        await request()
    finally:
        sys.setprofile(None)
    return called
