"""`make walk W=crash`: shows which background work survives a crash right after the response.

It starts the application of `console.background`, an ARQ worker and a separate Valkey in a temporary folder.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from console.narration import Narrator
from console.waiting import until
from embedded import valkey

CRASH = "crash"
CRASH_DESCRIPTION = "background work whose process is killed: BackgroundTasks, a task of the event loop, a queue"
WAYS = {
    "background-tasks": "FastAPI's BackgroundTasks",
    "loop-task": "asyncio.create_task",
    "queue": "a job of ARQ's queue",
}
_TIMEOUT_S = 30.0  # of each wait


async def run_crash_scenario(narrator: Narrator) -> dict[str, bool]:
    """Kill the process after its responses. Return for each of `WAYS` whether its email was sent.

    Raises FailedError if a process does not start, or the worker does not send its email.
    """
    narrator.print_title(CRASH_DESCRIPTION)
    async with AsyncExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="hopline-crash-")))
        store = valkey.prepare(folder / "valkey", port=_free_port())
        emails, port = folder / "emails", _free_port()
        environment = {**os.environ, "REDIS_URL": store.url, "EMAILS": str(emails)}
        await resources.enter_async_context(_running(store.argv(durable=False), environment))
        await _wait_until(lambda: valkey.is_ready(store.port), "Valkey does not start")
        worker = [sys.executable, "-m", "arq", "console.background.WorkerSettings"]
        await resources.enter_async_context(_running(worker, environment))
        server = [sys.executable, "-m", "uvicorn", "console.background:create_app", "--factory", "--port", str(port)]
        process = await resources.enter_async_context(_running(server, environment))
        client = await resources.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        )
        await _wait_until(lambda: _responds(client), "the application does not start")

        for way, name in WAYS.items():
            response = await client.post(f"/{way}")
            narrator.print_step(f"{name}: response {response.status_code}")
        process.kill()
        await process.wait()
        narrator.print_step("killed the process (SIGKILL) before any of the three emails was sent")
        await resources.enter_async_context(_running(server, environment))
        await _wait_until(lambda: _responds(client), "the application does not start again")
        narrator.print_step("started it again")

        async def is_sent_by_worker() -> bool:
            return emails.exists() and "queue" in emails.read_text(encoding="utf-8").split()

        await _wait_until(is_sent_by_worker, "the worker does not send the email of the queue")
        sent = set(emails.read_text(encoding="utf-8").split())
    for way, name in WAYS.items():
        narrator.print_line(f"{name:<26} {'email sent' if way in sent else 'lost'}")
    return {way: way in sent for way in WAYS}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _wait_until(condition: Callable[[], Awaitable[bool]], problem: str) -> None:
    async def probe() -> bool | None:
        return await condition() or None

    await until(probe, _TIMEOUT_S, problem, advice="the machine may be busy, run make walk W=crash again")


@asynccontextmanager
async def _running(command: list[str], environment: Mapping[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, env=dict(environment), stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def _responds(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/openapi.json")).is_success
    except httpx.TransportError:
        return False
