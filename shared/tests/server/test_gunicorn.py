"""Services under a real gunicorn: start, stop, replaced and killed workers, invalid settings."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from shared.commands import probe
from shared.server.gunicorn import GC_THRESHOLDS
from testkit.apps import serve
from testkit.gunicorn import gunicorn, responds
from testkit.tokens import TokenIssuer
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
async def slow() -> dict[str, str]:
    structlog.get_logger().info("slow_begun")
    await asyncio.sleep(1)
    return {"greeting": "done"}

@router.get("/process")
async def process() -> dict[str, str | int]:
    await asyncio.sleep(0.01)
    return {"pid": os.getpid(), "greeting": load_settings(Settings).greeting}

@router.get("/client")
async def client(request: Request) -> str:
    return get_client_address(request.scope)

@router.get("/garbage")
async def garbage(request: Request) -> dict[str, list[int] | bool]:
    looked_at = any(found is request.app for found in gc.get_objects())
    return {"thresholds": list(gc.get_threshold()), "application_looked_at": looked_at}

@asynccontextmanager
async def lifespan(app):
    yield

def create_app():
    settings = load_settings(Settings)
    return build_app(name="hello", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
"""

SLOW_START = (
    APPLICATION
    + """
import os
import time

master = os.getpid()  # which imports this module before it forks
create_hello = create_app

def create_app():
    print("worker_starts", flush=True)
    while os.getppid() == master:
        time.sleep(0.01)
    return create_hello()
"""
)
"""A service whose worker starts only after its master has ended."""


AUTHENTICATED = """
import os
from contextlib import asynccontextmanager
from fastapi import APIRouter
from shared.web.app import build_app
from shared.http.client import open_http_client
from shared.config import JwksSettings, ServiceSettings, load_settings
from shared.auth import CurrentIdentity, TokenVerifier, create_jwks_cache

class Settings(JwksSettings, ServiceSettings): ...

router = APIRouter()

@router.get("/pid")
async def pid(identity: CurrentIdentity) -> int:
    return os.getpid()

@asynccontextmanager
async def lifespan(app):
    settings = app.state.settings
    async with open_http_client(to="users") as client, create_jwks_cache(client, str(settings.jwks_url)) as keys:
        app.state.token_verifier = TokenVerifier(keys=keys, settings=settings)
        yield

def create_app():
    settings = load_settings(Settings)
    return build_app(name="hello", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
"""


def _has_size(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    async with (
        gunicorn(folder, APPLICATION, GREETING="hi") as (process, url),
        httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
    ):
        yield process, client


class Load:
    """Concurrent clients, each of which sends one request after another, and their responses."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.statuses: Counter[int] = Counter()
        self.recent: deque[int] = deque(maxlen=100)
        self.greeting = ""

    @asynccontextmanager
    async def running(self, *, requests: int) -> AsyncIterator[None]:
        """Send requests until the block ends. A connection error is raised at its end."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(requests):
                tasks.create_task(self._send(ending))
            try:
                yield
            finally:
                ending.set()

    async def _send(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            response = await self._client.get("/process")
            self.statuses[response.status_code] += 1
            found = response.json()
            self.recent.append(found["pid"])
            self.greeting = found["greeting"]


def list_workers(master: Process) -> set[int]:
    """Return the process ids of the workers."""
    return {worker.pid for worker in psutil.Process(master.pid).children()}


class TestGunicorn:
    @pytest.mark.parametrize(
        "stop", [signal.SIGTERM, signal.SIGINT]
    )  # after SIGINT the master sends SIGQUIT to its workers
    async def test_requests_in_flight_complete_when_the_process_stops(
        self, tmp_path: Path, stop: signal.Signals
    ) -> None:
        async with (
            gunicorn(tmp_path, APPLICATION, GREETING="hi") as (process, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: responds(client))
            in_flight = asyncio.create_task(client.get("/slow"))
            await eventually(lambda: "slow_begun" in (tmp_path / "log").read_text())
            process.send_signal(stop)
            assert (await in_flight).json() == {"greeting": "done"}
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0

    async def test_worker_is_replaced_when_it_is_killed(self, tmp_path: Path) -> None:
        async with (
            gunicorn(tmp_path, APPLICATION, GREETING="hi") as (process, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: responds(client))
            [worker] = psutil.Process(process.pid).children()
            worker.kill()
            await eventually(lambda: not worker.is_running())
            await eventually(lambda: responds(client))
            [successor] = psutil.Process(process.pid).children()
            assert successor.pid != worker.pid
            collector = (await client.get("/garbage")).json()
            assert collector == {"thresholds": [*GC_THRESHOLDS], "application_looked_at": False}

    @pytest.mark.parametrize("cause", ["reload", "max_requests"])
    async def test_no_request_fails_when_workers_are_replaced_under_load(self, tmp_path: Path, cause: str) -> None:
        secret = tmp_path / "greeting"
        secret.write_text("before")
        settings = {"GREETING_FILE": str(secret), "WEB_CONCURRENCY": "2", "DRAIN_SECONDS": "2"}
        if cause == "max_requests":
            settings["MAX_REQUESTS"] = "400"
        async with (
            gunicorn(tmp_path, APPLICATION, **settings) as (process, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: len(list_workers(process)) > 1)
            await eventually(lambda: responds(client))
            before, load = list_workers(process), Load(client)
            async with load.running(requests=8):
                secret.write_text("after")
                if cause == "reload":
                    process.send_signal(signal.SIGHUP)
                await eventually(lambda: not before & {*list_workers(process), *load.recent})
            assert set(load.statuses) == {200}
            assert load.greeting == "after"  # new workers read all settings again, including secret files

    async def test_reloaded_worker_inherits_the_keys_when_they_cannot_be_fetched(
        self, tmp_path: Path, token_issuer: TokenIssuer
    ) -> None:
        headers = {"Connection": "close", **token_issuer.headers("0198b7f0-0000-7000-8000-000000000001")}
        async with AsyncExitStack() as users_runs, AsyncExitStack() as stack:
            users = await users_runs.enter_async_context(serve(token_issuer.jwks_app))
            jwks_url = f"{users}/.well-known/jwks.json"
            process, url = await stack.enter_async_context(gunicorn(tmp_path, AUTHENTICATED, JWKS_URL=jwks_url))
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S))
            await eventually(lambda: responds(client))
            before = await client.get("/pid", headers=headers)
            assert before.status_code == 200
            await users_runs.aclose()
            process.send_signal(signal.SIGHUP)

            responses: list[httpx.Response] = []

            async def is_replaced() -> bool:
                responses.append(await client.get("/pid", headers=headers))
                return bool(responses[-1].json() != before.json())

            await eventually(is_replaced)
            assert {response.status_code for response in responses} == {200}

    async def test_replaced_workers_are_counted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "restarts"
        counted = {"WORKER_RESTARTS_FILE": str(file), "WEB_CONCURRENCY": "2"}
        async with (
            gunicorn(tmp_path, APPLICATION, GREETING="hi", **counted) as (process, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: responds(client))
            await eventually(lambda: len(psutil.Process(process.pid).children()) == 2)
            assert not file.exists()
            for count in (1, 2, 3):
                psutil.Process(process.pid).children()[0].kill()
                await eventually(partial(_has_size, file, count))
                await eventually(lambda: responds(client))
            monkeypatch.setenv("PORT", str(httpx.URL(url).port))
            monkeypatch.setenv("WORKER_RESTARTS_FILE", str(file))
            assert await asyncio.to_thread(probe.main, []) == 0
            assert capsys.readouterr().out == "worker_restarts=3\n"

    async def test_worker_frees_the_port_when_its_master_is_killed(self, tmp_path: Path) -> None:
        async with (
            gunicorn(tmp_path, APPLICATION, GREETING="hi") as (process, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: responds(client))
            [worker] = psutil.Process(process.pid).children()
            process.kill()
            await eventually(lambda: not worker.is_running())
            assert "master_is_gone" in (tmp_path / "log").read_text()

    async def test_starting_worker_frees_the_port_when_its_master_is_killed(self, tmp_path: Path) -> None:
        async with gunicorn(tmp_path, SLOW_START, GREETING="hi") as (process, _):
            await eventually(lambda: "worker_starts" in (tmp_path / "log").read_text())
            [worker] = psutil.Process(process.pid).children()
            process.kill()
            await eventually(lambda: not worker.is_running())
            assert "master_is_gone" in (tmp_path / "log").read_text()

    @pytest.mark.parametrize("host", ["::", "[::]"])
    async def test_proxy_is_trusted_when_its_address_is_ipv4_mapped(self, tmp_path: Path, host: str) -> None:
        settings = {"HOST": host, "FORWARDED_ALLOW_IPS": "127.0.0.0/8", "GREETING": "hi"}
        async with (
            gunicorn(tmp_path, APPLICATION, **settings) as (_process, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: responds(client))
            for forwarded, address in (
                ("203.0.113.7", "203.0.113.7"),
                ("203.0.113.7:4711, 127.0.0.2", "203.0.113.7"),
                ("[2001:db8::1]:4711", "2001:db8::"),
            ):
                response = await client.get("/client", headers={"X-Forwarded-For": forwarded})
                assert response.json() == address
            by_ipv6 = httpx.URL(url).copy_with(host="::1", path="/client")
            response = await client.get(by_ipv6, headers={"X-Forwarded-For": "203.0.113.7"})
            assert response.json() == "::"

    @pytest.mark.parametrize("variable", ["PORT", "MAX_REQUESTS"])
    async def test_start_fails_when_a_setting_of_gunicorn_is_invalid(self, tmp_path: Path, variable: str) -> None:
        async with gunicorn(tmp_path, APPLICATION, GREETING="hi", **{variable: "many"}) as (process, _url):
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 4
            assert f"configuration error: {variable}: " in (tmp_path / "log").read_text()

    async def test_start_fails_when_a_setting_is_missing(self, tmp_path: Path) -> None:
        async with gunicorn(tmp_path, APPLICATION) as (process, _url):
            assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 4
            assert "configuration error: GREETING: Field required" in (tmp_path / "log").read_text()


@pytest.fixture(autouse=True)
def delete_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREETING", raising=False)
