"""Waiting for processes: each until it is ready, and no longer than until the first one fails."""

import asyncio
import urllib.request
from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import NoReturn

from embedded import logs, postgres, valkey
from embedded.errors import StartFailedError
from embedded.processes import Process, Table
from embedded.supervisor import Supervisor

LAST_LINES = 15


async def wait(
    supervisor: Supervisor,
    table: Table,
    processes: Collection[Process],
    *,
    seconds: float,
    since: Mapping[str, int],
    report: Callable[[Process], None],
) -> None:
    """Wait until all are ready, calling `report` with each as it becomes so.

    `since` says how long each log was before, so that an error shows only what came after. Raises StartFailedError as
    soon as one has ended, even if it was restarted since, or after `seconds`.
    """
    started = monotonic()
    pids: dict[str, int] = {}
    waiting = list(processes)

    def fail(process: Process, reason: str) -> NoReturn:
        path = supervisor.stack.log(process.name)
        lines = logs.last_words(path, LAST_LINES, since=since.get(process.name, 0))
        raise StartFailedError("\n".join([f"{process.name} did not start: {reason}. The end of {path}:", *lines]))

    while waiting:
        states = supervisor.states()
        for process in processes:
            state = states[process.name]
            if not state.running or state.pid != pids.setdefault(process.name, state.pid):
                fail(process, f"it ended ({state.reason})" if state.reason else "it ended")
        ready = await asyncio.gather(*(is_ready(table, process) for process in waiting))
        for process, is_done in zip(tuple(waiting), ready, strict=True):
            if is_done:
                report(process)
                waiting.remove(process)
        if waiting and monotonic() - started > seconds:
            fail(waiting[0], f"it is not ready after {seconds:g} s")
        await asyncio.sleep(0.1 if waiting else 0)


async def is_ready(table: Table, process: Process) -> bool:
    """Ask one process: by its own protocol, by the key it writes, or by its readiness URL."""
    if process.name == "postgres":
        return await postgres.answers(table.superuser_url())
    if process.name == "valkey":
        return await valkey.answers(table.valkey.port)
    if process.ready_key:
        return await valkey.has(table.valkey.port, process.ready_key)
    return process.ready_url is not None and await asyncio.to_thread(_answers_ok, process.ready_url)


def _answers_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status == 200)  # noqa: PLR2004
    except (OSError, ValueError):
        return False
