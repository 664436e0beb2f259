"""Liveness, readiness and startup of a service."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from shared.config import ConfigurationError, ServiceSettings
from shared.web.app import build_app
from shared.web.health import Health
from testkit.apps import http_client, serve


@pytest.fixture
async def client(small_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(small_app) as url, http_client(url) as client:
        yield client


class TestHealth:
    async def test_readiness_is_degraded_without_an_optional_dependency_and_503_without_a_critical_one(
        self, client: httpx.AsyncClient, small_app: FastAPI
    ) -> None:
        async def succeed() -> None: ...

        async def fail() -> None:
            raise ConnectionRefusedError("no server")

        health = small_app.state.health
        health.add("store", succeed)
        assert (await client.get("/health/ready")).json()["status"] == "ready"
        health.add("cache", fail, critical=False)
        degraded = await client.get("/health/ready")
        assert degraded.status_code == 200
        assert degraded.json()["status"] == "degraded"
        assert degraded.json()["dependencies"]["cache"]["status"] == "down"
        assert "no server" in degraded.json()["dependencies"]["cache"]["error"]
        health.add("database", fail)
        not_ready = await client.get("/health/ready")
        assert not_ready.status_code == 503
        assert not_ready.json()["status"] == "not_ready"

    async def test_readiness_hides_the_message_of_an_error_and_each_outage_is_logged_once_when_errors_are_not_exposed(
        self, client: httpx.AsyncClient, small_app: FastAPI, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first_outage, second_outage = "no server at db-1.internal", "no server at db-2.internal"
        results = [first_outage, first_outage, None, second_outage]

        async def probe() -> None:
            if reason := results.pop(0):
                raise ConnectionRefusedError(reason)

        small_app.state.health = Health(expose_errors=False, started=True)
        small_app.state.health.add("database", probe)
        responses = [(await client.get("/health/ready")).json()["dependencies"]["database"] for _ in list(results)]
        error = "ConnectionRefusedError"
        assert [response["error"] for response in responses] == [error, error, None, error]
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "dependency_down" in line]
        assert [record["error"] for record in records] == [f"{error}: {first_outage}", f"{error}: {second_outage}"]

    async def test_dependency_is_probed_once_when_readiness_is_requested_concurrently(
        self, client: httpx.AsyncClient, small_app: FastAPI
    ) -> None:
        probes, released = 0, asyncio.Event()

        async def probe() -> None:
            nonlocal probes
            probes += 1
            await released.wait()

        small_app.state.health.add("database", probe)
        headers = {"X-Request-Timeout-Ms": "10"}
        late = await asyncio.gather(*(client.get("/health/ready", headers=headers) for _ in range(5)))
        assert [response.status_code for response in late] == [504] * 5
        assert probes == 1
        released.set()
        assert (await client.get("/health/ready")).status_code == 200

    async def test_only_readiness_fails_while_the_process_drains(
        self, client: httpx.AsyncClient, small_app: FastAPI
    ) -> None:
        small_app.state.health.draining = True
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/paper")).status_code == 409

    async def test_every_drain_callback_runs_when_one_fails(self) -> None:
        health, finished = Health(), asyncio.Event()

        async def fail() -> None:
            raise ConnectionResetError

        async def finish() -> None:
            await asyncio.sleep(0)
            finished.set()

        health.on_drain(fail)
        health.on_drain(finish)
        with capture_logs() as records:
            await health.drain(grace_s=0)
        assert finished.is_set()
        assert [record["event"] for record in records] == ["drain_failed"]


async def test_start_fails_with_the_reason_when_the_lifespan_raises_a_configuration_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        raise ConfigurationError("the server allows too few connections")
        yield

    app = build_app(name="small", settings=ServiceSettings(), lifespan=lifespan, routers=[], summary="for tests")
    with pytest.raises(RuntimeError):
        async with serve(app):
            pass
    [record] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"settings_rejected"' in line]
    assert record["reason"] == "the server allows too few connections"
