"""Waits until processes are ready, or until the first one fails."""

import asyncio
import urllib.request
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from http.client import HTTPException
from time import monotonic
from typing import NoReturn

from embedded import logs, pgbouncer, postgres, valkey
from embedded.errors import StartFailedError
from embedded.processes import Process, Table
from embedded.supervisor import Supervisor

LAST_LINES = 15

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ignores the proxy of the environment (http_proxy), which cannot reach the services on this machine."""


async def wait(
    supervisor: Supervisor,
    table: Table,
    processes: Collection[Process],
    *,
    seconds: float,
    since: Mapping[str, int],
    report: Callable[[Process], None],
) -> None:
    """Wait until all processes are ready; call `report` with each one when it is.

    `since` is the size of each log before the start, so that an error shows only newer lines.

    Raises:
        StartFailedError: a process exited, even if it was restarted, or was not ready after `seconds`.
    """
    started = monotonic()
    pids: dict[str, int] = {}
    waiting = list(processes)

    def fail(process: Process, reason: str) -> NoReturn:
        path = supervisor.stack.log(process.name)
        lines = logs.last_lines(path, LAST_LINES, since=since.get(process.name, 0))
        raise StartFailedError("\n".join([f"{process.name} did not start: {reason}. The end of {path}:", *lines]))

    while waiting:
        states = supervisor.states()
        for process in processes:
            state = states[process.name]
            if not state.is_running or state.pid != pids.setdefault(process.name, state.pid):
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
    """Return whether a process is ready: by its protocol, by the key that it writes, or by its readiness URL."""
    if process.name == "postgres":
        return await postgres.is_ready(table.superuser_url())
    if process.name == "valkey":
        return await valkey.is_ready(table.valkey.port)
    if process.name == "pgbouncer":
        return await pgbouncer.is_ready(table.environments.stack.port(process.name))
    if process.ready_key:
        return await valkey.has_key(table.valkey.port, process.ready_key)
    return process.ready_url is not None and await asyncio.to_thread(_responds_ok, process.ready_url)


def _responds_ok(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=3) as response:
            return bool(response.status == HTTPStatus.OK)
    except (OSError, ValueError, HTTPException):
        return False
