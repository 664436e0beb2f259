"""Three ways to run work after a response: FastAPI's BackgroundTasks, a task of the event loop, and an ARQ queue.

The application and the worker of `make walk W=crash`. Each way simulates a slow email: it appends its name to the file
`EMAILS` after `EMAIL_S`. The application is as short as in a tutorial. Hopline's jobs are stored in PostgreSQL before
they are added to Redis (ADR 4), so that they also survive a crash of Redis.
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
"""Duration of sending an email in seconds. The process is killed during this time."""


async def send_email(_ctx: dict[str, Any], way: str) -> None:
    """Simulate sending an email."""
    await asyncio.sleep(EMAIL_S)
    with Path(os.environ["EMAILS"]).open("a", encoding="utf-8") as file:  # noqa: ASYNC230 - one line, in an example
        file.write(f"{way}\n")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the connection to the queue, and references to the tasks, because the event loop references them weakly."""
    app.state.queue = await create_pool(WorkerSettings.redis_settings)
    app.state.tasks = set()
    yield
    await app.state.queue.aclose()


def create_app() -> FastAPI:
    """Return an application that responds immediately and sends an email afterwards."""
    app = FastAPI(lifespan=lifespan)

    @app.post("/background-tasks", status_code=202)
    async def send_by_background_tasks(tasks: BackgroundTasks) -> None:
        tasks.add_task(send_email, {}, "background-tasks")

    @app.post("/loop-task", status_code=202)
    async def send_by_loop_task(request: Request) -> None:
        task = asyncio.create_task(send_email({}, "loop-task"))
        request.app.state.tasks.add(task)
        task.add_done_callback(request.app.state.tasks.discard)

    @app.post("/queue", status_code=202)
    async def send_by_queue(request: Request) -> None:
        await request.app.state.queue.enqueue_job("send_email", "queue")

    return app


class WorkerSettings:
    """The worker: `arq console.background.WorkerSettings`."""

    functions: ClassVar = [send_email]
    redis_settings = RedisSettings.from_dsn(os.environ.get("REDIS_URL", "redis://localhost:6379"))
    poll_delay = 0.05
