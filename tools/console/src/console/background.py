"""Work after a response in three ways: FastAPI's BackgroundTasks, a task of the event loop, and ARQ's queue.

The application and the worker of `make walk W=crash`. Each way appends its name to the file `EMAILS` after `EMAIL_S`,
as an email that takes its time. The service is as short as in a tutorial; Hopline's jobs are rows in PostgreSQL before
they are entries in Redis (ADR 4), so that they survive a crash of Redis too.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import BackgroundTasks, FastAPI, Request

EMAIL_S = 2.0
"""How long an email takes, in seconds: the process is killed meanwhile."""


async def send_email(_ctx: dict[str, Any], way: str) -> None:
    """Send an email, which takes a while."""
    await asyncio.sleep(EMAIL_S)
    with Path(os.environ["EMAILS"]).open("a", encoding="utf-8") as file:  # noqa: ASYNC230 - a line, in an example
        file.write(f"{way}\n")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the connection to the queue, and the tasks: the event loop itself keeps weak references only."""
    app.state.queue = await create_pool(WorkerSettings.redis_settings)
    app.state.tasks = set()
    yield
    await app.state.queue.aclose()


def create_app() -> FastAPI:
    """Return an application that responds at once and sends an email afterwards."""
    app = FastAPI(lifespan=lifespan)

    @app.post("/background-tasks", status_code=202)
    async def by_background_tasks(tasks: BackgroundTasks) -> None:
        tasks.add_task(send_email, {}, "background-tasks")

    @app.post("/loop-task", status_code=202)
    async def by_loop_task(request: Request) -> None:
        task = asyncio.create_task(send_email({}, "loop-task"))
        request.app.state.tasks.add(task)
        task.add_done_callback(request.app.state.tasks.discard)

    @app.post("/queue", status_code=202)
    async def by_queue(request: Request) -> None:
        await request.app.state.queue.enqueue_job("send_email", "queue")

    return app


class WorkerSettings:
    """The worker: `arq console.background.WorkerSettings`."""

    functions: ClassVar = [send_email]
    redis_settings = RedisSettings.from_dsn(os.environ.get("REDIS_URL", "redis://localhost:6379"))
    poll_delay = 0.05
