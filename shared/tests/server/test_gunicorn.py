"""A service under a real gunicorn: its stop, trusted proxies, and invalid settings."""

import asyncio
import signal
from pathlib import Path

import pytest

from shared.config import CONFIGURATION_ERROR
from testkit.gunicorn import run_gunicorn
from testkit.waiting import TIMEOUT_S, eventually

from .hello_service import APPLICATION, list_workers, run_service

SLOW_START = (
    APPLICATION
    + """
import os
import time

master = os.getpid()  # the master imports this module before it forks
create_hello = create_app

def create_app():
    print("worker_starts", flush=True)
    while os.getppid() == master:
        time.sleep(0.01)
    return create_hello()
"""
)
"""The same service, with a worker that completes its start only after its master has ended."""


class TestStop:
    # After SIGINT the master sends SIGQUIT to its workers.
    @pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
    async def test_requests_in_flight_complete_when_the_process_stops(
        self, tmp_path: Path, stop_signal: signal.Signals
    ) -> None:
        async with run_service(tmp_path) as (master, client):
            in_flight = asyncio.create_task(client.get("/slow"))
            await eventually(lambda: "slow_begun" in (tmp_path / "log").read_text())
            master.send_signal(stop_signal)
            assert (await in_flight).json() == {"greeting": "done"}
            assert await asyncio.wait_for(master.wait(), TIMEOUT_S) == 0

    async def test_worker_ends_when_its_master_is_killed(self, tmp_path: Path) -> None:
        async with run_service(tmp_path) as (master, _client):
            [worker] = list_workers(master)
            master.kill()
            await eventually(lambda: not worker.is_running())
            assert "master_is_gone" in (tmp_path / "log").read_text()

    async def test_starting_worker_ends_when_its_master_is_killed(self, tmp_path: Path) -> None:
        async with run_gunicorn(tmp_path, SLOW_START, GREETING="hi") as (master, _url):
            await eventually(lambda: "worker_starts" in (tmp_path / "log").read_text())
            [worker] = list_workers(master)
            master.kill()
            await eventually(lambda: not worker.is_running())
            assert "master_is_gone" in (tmp_path / "log").read_text()


class TestSettings:
    @pytest.mark.parametrize("host", ["::", "[::]"])
    async def test_proxy_is_trusted_when_its_address_is_ipv4_mapped(self, tmp_path: Path, host: str) -> None:
        environment = {"HOST": host, "FORWARDED_ALLOW_IPS": "127.0.0.0/8"}
        async with run_service(tmp_path, **environment) as (_master, client):
            for forwarded, address in (
                ("203.0.113.7", "203.0.113.7"),
                ("203.0.113.7:4711, 127.0.0.2", "203.0.113.7"),
                ("[2001:db8::1]:4711", "2001:db8::"),
            ):
                response = await client.get("/client", headers={"X-Forwarded-For": forwarded})
                assert response.json() == address
            by_ipv6 = client.base_url.copy_with(host="::1", path="/client")
            response = await client.get(by_ipv6, headers={"X-Forwarded-For": "203.0.113.7"})
            assert response.json() == "::", "::1 is not a trusted proxy, so its own network is the address"

    @pytest.mark.parametrize("variable", ["PORT", "MAX_REQUESTS"])
    async def test_start_fails_when_a_setting_of_gunicorn_is_invalid(self, tmp_path: Path, variable: str) -> None:
        async with run_gunicorn(tmp_path, APPLICATION, GREETING="hi", **{variable: "many"}) as (master, _url):
            assert await asyncio.wait_for(master.wait(), TIMEOUT_S) == CONFIGURATION_ERROR
            assert f"configuration error: {variable}: " in (tmp_path / "log").read_text()

    async def test_start_fails_when_a_setting_is_missing(self, tmp_path: Path) -> None:
        async with run_gunicorn(tmp_path, APPLICATION) as (master, _url):
            assert await asyncio.wait_for(master.wait(), TIMEOUT_S) == CONFIGURATION_ERROR
            assert "configuration error: GREETING: Field required" in (tmp_path / "log").read_text()
