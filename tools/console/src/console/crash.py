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
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from console.narration import Narrator
from console.waiting import until
from embedded import valkey

CRASH = "crash"
SHOWS = "background work whose process is killed: BackgroundTasks, a task of the event loop, a queue"
WAYS = {
    "background-tasks": "FastAPI's BackgroundTasks",
    "loop-task": "asyncio.create_task",
    "queue": "a job of ARQ's queue",
}
_START_S = 30.0


async def run_crash_scenario(narrator: Narrator) -> dict[str, bool]:
    """Kill the process after its responses. Return for each of `WAYS` whether its email was sent.

    Raises FailedError if a process does not start.
    """
    narrator.title(SHOWS)
    async with AsyncExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="hopline-crash-")))
        store = valkey.prepare(folder / "valkey", port=_free_port())
        emails, port = folder / "emails", _free_port()
        environment = {**os.environ, "REDIS_URL": store.url, "EMAILS": str(emails)}
        await resources.enter_async_context(_running(store.argv(durable=False), environment))
        await until(lambda: _or_none(valkey.is_ready(store.port)), _START_S, "Valkey does not start")
        worker = [sys.executable, "-m", "arq", "console.background.WorkerSettings"]
        await resources.enter_async_context(_running(worker, environment))
        server = [sys.executable, "-m", "uvicorn", "console.background:create_app", "--factory", "--port", str(port)]
        process = await resources.enter_async_context(_running(server, environment))
        client = await resources.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
        await until(lambda: _or_none(_responses(client)), _START_S, "the application does not start")

        for way, name in WAYS.items():
            response = await client.post(f"/{way}")
            narrator.done(f"{name}: response {response.status_code}")
        process.kill()
        await process.wait()
        narrator.done("killed the process (SIGKILL) before any of the three emails was sent")
        await resources.enter_async_context(_running(server, environment))
        await until(lambda: _or_none(_responses(client)), _START_S, "the application does not start again")
        narrator.done("started it again")

        async def sent_by_worker() -> bool | None:
            return (emails.exists() and "queue" in emails.read_text(encoding="utf-8").split()) or None

        await until(sent_by_worker, _START_S, "the worker does not send the email of the queue")
        sent = set(emails.read_text(encoding="utf-8").split())
    for way, name in WAYS.items():
        narrator.quoted(f"{name:<26} {'email sent' if way in sent else 'lost'}")
    return {way: way in sent for way in WAYS}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _or_none(condition: Awaitable[bool]) -> bool | None:
    return await condition or None


@asynccontextmanager
async def _running(command: list[str], environment: Mapping[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, env=dict(environment), stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def _responses(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/openapi.json")).is_success
    except httpx.TransportError:
        return False
