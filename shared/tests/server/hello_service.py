"""A service that runs under a real gunicorn in the tests of this folder."""

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil

from testkit.gunicorn import is_ready, run_gunicorn
from testkit.waiting import TIMEOUT_S, eventually

APPLICATION = """
import asyncio
import gc
import os
from contextlib import asynccontextmanager
import structlog
from fastapi import APIRouter, Request
from shared.web.app import build_app
from shared.web.client_address import get_client_address
from shared.config import ServiceSettings, load_settings

class Settings(ServiceSettings):
    greeting: str

router = APIRouter()

@router.get("/slow")
async def respond_slowly() -> dict[str, str]:
    structlog.get_logger().info("slow_begun")
    await asyncio.sleep(1)
    return {"greeting": "done"}

@router.get("/process")
async def read_process(request: Request) -> dict[str, str | int]:
    await asyncio.sleep(0.01)
    return {"pid": os.getpid(), "greeting": request.app.state.settings.greeting}

@router.get("/client")
async def read_client_address(request: Request) -> str:
    return get_client_address(request.scope)

@router.get("/garbage-collector")
async def read_garbage_collector(request: Request) -> dict[str, list[int] | bool]:
    is_inspected = any(found is request.app for found in gc.get_objects())
    return {"thresholds": list(gc.get_threshold()), "inspects_application": is_inspected}

@asynccontextmanager
async def lifespan(app):
    yield

def create_app():
    settings = load_settings(Settings)
    return build_app(name="hello", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
"""


@asynccontextmanager
async def run_service(
    folder: Path, application: str = APPLICATION, **environment: str
) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Run the service, wait until it is ready, and yield its master process and a client."""
    async with (
        run_gunicorn(folder, application, **{"GREETING": "hi", **environment}) as (master, url),
        httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
    ):
        await eventually(lambda: is_ready(client))
        yield master, client


def list_workers(master: Process) -> list[psutil.Process]:
    return psutil.Process(master.pid).children()
