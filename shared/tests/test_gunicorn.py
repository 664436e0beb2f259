"""The process model, on a real gunicorn: start, stop with requests in flight, a killed worker, wrong settings."""

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
import psutil
import pytest

from testkit.apps import free_port
from testkit.waiting import eventually

APPLICATION = """
import asyncio
from contextlib import asynccontextmanager
from fastapi import APIRouter
from shared.app import build_app
from shared.settings import ServiceSettings, load_settings

class Settings(ServiceSettings):
    greeting: str

router = APIRouter()

@router.get("/slow")
async def slow() -> dict[str, str]:
    await asyncio.sleep(1)
    return {"greeting": "done"}

@asynccontextmanager
async def lifespan(app):
    yield

def create_app():
    settings = load_settings(Settings)
    return build_app(name="hello", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
"""


@asynccontextmanager
async def gunicorn(folder: Path, **environment: str) -> AsyncIterator[tuple[Process, str]]:
    """A master on a free port, its output in `folder`/log; nothing of it is left afterwards."""
    (folder / "hello.py").write_text(APPLICATION)
    port = free_port()
    ours = {"PYTHONPATH": str(folder), "HOST": "127.0.0.1", "PORT": str(port), "DRAIN_SECONDS": "0.2"}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:shared.gunicorn", "hello:create_app()"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | ours | environment, stdout=log, stderr=STDOUT, start_new_session=True
        )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


class TestGunicorn:
    async def test_sigterm_completes_requests_in_flight_and_exits_cleanly(self, tmp_path: Path) -> None:
        async with gunicorn(tmp_path, GREETING="hi") as (process, url), httpx.AsyncClient(base_url=url) as client:
            await eventually(lambda: answers(client))
            in_flight = asyncio.create_task(client.get("/slow"))
            await eventually(lambda: self._accepted(process, url))
            process.send_signal(signal.SIGTERM)
            assert (await in_flight).json() == {"greeting": "done"}
            assert await asyncio.wait_for(process.wait(), 15) == 0

    async def test_a_killed_worker_is_replaced(self, tmp_path: Path) -> None:
        async with gunicorn(tmp_path, GREETING="hi") as (process, url), httpx.AsyncClient(base_url=url) as client:
            await eventually(lambda: answers(client))
            [worker] = psutil.Process(process.pid).children()
            worker.kill()
            await eventually(lambda: not worker.is_running())
            await eventually(lambda: answers(client))
            [successor] = psutil.Process(process.pid).children()
            assert successor.pid != worker.pid

    async def test_a_killed_masters_worker_frees_the_port(self, tmp_path: Path) -> None:
        async with gunicorn(tmp_path, GREETING="hi") as (process, url), httpx.AsyncClient(base_url=url) as client:
            await eventually(lambda: answers(client))
            [worker] = psutil.Process(process.pid).children()
            process.kill()
            await eventually(lambda: not worker.is_running())
            assert "master_is_gone" in (tmp_path / "log").read_text()

    async def test_a_missing_setting_stops_the_master_and_is_named(self, tmp_path: Path) -> None:
        async with gunicorn(tmp_path) as (process, _url):
            assert await asyncio.wait_for(process.wait(), 20) == 4
            assert "configuration error: GREETING: Field required" in (tmp_path / "log").read_text()

    @staticmethod
    def _accepted(process: Process, url: str) -> bool:
        """Whether the worker holds an established connection on its port."""
        port = int(url.rpartition(":")[2])
        [worker] = psutil.Process(process.pid).children()
        return any(
            connection.laddr.port == port and connection.status == psutil.CONN_ESTABLISHED
            for connection in worker.net_connections(kind="tcp4")
        )


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREETING", raising=False)
