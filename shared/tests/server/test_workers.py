"""Workers under a real gunicorn: their replacement, reload, count of restarts and garbage collector."""

import asyncio
import signal
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from shared.commands import probe
from shared.server.gunicorn import GC_THRESHOLDS
from testkit.apps import serve
from testkit.gunicorn import is_ready, run_gunicorn
from testkit.tokens import TokenIssuer
from testkit.waiting import TIMEOUT_S, eventually

from .hello_service import APPLICATION, list_workers, run_service

AUTHENTICATED_APPLICATION = """
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
async def read_pid(identity: CurrentIdentity) -> int:
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


class Load:
    """Concurrent clients, each of which sends one request after another, and their responses.

    `statuses` counts all responses. `recent_pids` are the processes of the latest 100 responses, and `greeting` is that
    of the latest response.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.statuses: Counter[int] = Counter()
        self.recent_pids: deque[int] = deque(maxlen=100)
        self.greeting = ""

    @asynccontextmanager
    async def running(self, *, clients: int) -> AsyncIterator[None]:
        """Send requests until the block ends. If one fails, the block is cancelled and an ExceptionGroup is raised."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(self._send(ending))
            try:
                yield
            finally:
                ending.set()

    async def _send(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            response = await self._client.get("/process")
            self.statuses[response.status_code] += 1
            body = response.json()
            self.recent_pids.append(body["pid"])
            self.greeting = body["greeting"]


def has_size(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size


class TestWorkers:
    async def test_worker_is_replaced_when_it_is_killed(self, tmp_path: Path) -> None:
        async with run_service(tmp_path) as (master, client):
            [worker] = list_workers(master)
            worker.kill()
            await eventually(lambda: not worker.is_running())
            await eventually(lambda: is_ready(client))
            [successor] = list_workers(master)
            assert successor.pid != worker.pid

    async def test_garbage_collector_has_the_configured_thresholds_and_does_not_inspect_the_application(
        self, tmp_path: Path
    ) -> None:
        async with run_service(tmp_path) as (_master, client):
            collector = (await client.get("/garbage-collector")).json()
            assert collector == {"thresholds": [*GC_THRESHOLDS], "inspects_application": False}

    @pytest.mark.parametrize("cause", ["reload", "max_requests"])
    async def test_no_request_fails_when_workers_are_replaced_under_load(self, tmp_path: Path, cause: str) -> None:
        secret = tmp_path / "greeting"
        secret.write_text("before")
        environment = {"GREETING_FILE": str(secret), "WEB_CONCURRENCY": "2", "DRAIN_SECONDS": "2"}
        if cause == "max_requests":
            environment["MAX_REQUESTS"] = "400"
        async with (
            run_gunicorn(tmp_path, APPLICATION, **environment) as (master, url),
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client,
        ):
            await eventually(lambda: len(list_workers(master)) > 1)
            await eventually(lambda: is_ready(client))
            load = Load(client)
            replaced = {worker.pid for worker in list_workers(master)}

            def are_replaced() -> bool:
                running = {worker.pid for worker in list_workers(master)}
                return not replaced & {*running, *load.recent_pids}

            async with load.running(clients=8):
                secret.write_text("after")
                if cause == "reload":
                    master.send_signal(signal.SIGHUP)
                await eventually(are_replaced)
            assert set(load.statuses) == {200}
            assert load.greeting == "after"  # new workers read all settings again, including secret files

    async def test_reloaded_worker_inherits_the_keys_when_they_cannot_be_fetched(
        self, tmp_path: Path, token_issuer: TokenIssuer
    ) -> None:
        headers = {"Connection": "close", **token_issuer.headers("0198b7f0-0000-7000-8000-000000000001")}
        async with AsyncExitStack() as users_stack, AsyncExitStack() as stack:
            users = await users_stack.enter_async_context(serve(token_issuer.jwks_app))
            service = run_service(tmp_path, AUTHENTICATED_APPLICATION, JWKS_URL=f"{users}/.well-known/jwks.json")
            master, client = await stack.enter_async_context(service)
            before = await client.get("/pid", headers=headers)
            assert before.status_code == 200
            await users_stack.aclose()
            master.send_signal(signal.SIGHUP)

            responses: list[httpx.Response] = []

            async def is_replaced() -> bool:
                responses.append(await client.get("/pid", headers=headers))
                return bool(responses[-1].json() != before.json())

            await eventually(is_replaced)
            assert {response.status_code for response in responses} == {200}

    async def test_replaced_workers_are_counted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        restarts = tmp_path / "restarts"
        environment = {"WORKER_RESTARTS_FILE": str(restarts), "WEB_CONCURRENCY": "2"}
        async with run_service(tmp_path, **environment) as (master, client):
            await eventually(lambda: len(list_workers(master)) == 2)
            assert not restarts.exists()
            for count in (1, 2, 3):
                list_workers(master)[0].kill()
                await eventually(partial(has_size, restarts, count))
                await eventually(lambda: is_ready(client))
            monkeypatch.setenv("PORT", str(client.base_url.port))
            monkeypatch.setenv("WORKER_RESTARTS_FILE", str(restarts))
            assert await asyncio.to_thread(probe.main, []) == 0
            assert capsys.readouterr().out == "worker_restarts=3\n"
