"""A service under a real gunicorn, in separate processes."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from testkit.apps import free_port


@asynccontextmanager
async def run_gunicorn(folder: Path, application: str, **environment: str) -> AsyncIterator[tuple[Process, str]]:
    """Run gunicorn on a free port with `hello:create_app()`, and yield its master process and its base URL.

    `application` is the source of the module `hello`. The output is in `folder`/log. All processes are killed at the
    end of the block.
    """
    (folder / "hello.py").write_text(application)
    port = free_port()
    settings = {"PYTHONPATH": str(folder), "HOST": "127.0.0.1", "PORT": str(port), "DRAIN_SECONDS": "0.2"}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:shared.server.gunicorn", "hello:create_app()"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | settings | environment, stdout=log, stderr=STDOUT, start_new_session=True
        )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Return whether the readiness probe of the service succeeds."""
    try:
        return (await client.get("/health/ready")).is_success
    except httpx.TransportError:
        return False
