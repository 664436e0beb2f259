"""The store of faults, the active faults of a process, and their injection into calls of httpx."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from shared.config import Environment, ServiceSettings
from shared.db.redis import create_redis
from shared.faults import ActiveFaults, Fault, FaultKind, FaultStore, watch_faults
from shared.faults.crash_points import CRASHED
from shared.faults.store import KEY
from shared.http.client import open_http_client
from testkit.apps import serve
from testkit.metrics import RecordedMetrics
from testkit.waiting import TIMEOUT_S, eventually


def create_fault(kind: FaultKind, *, seconds: float = 60, **fields: Any) -> Fault:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return Fault(**{"source": "here", "target": "there", "kind": kind, "value": 100, "until": until} | fields)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with create_redis(redis_url) as redis:
        yield redis


@pytest.fixture
def store(redis: Redis) -> FaultStore:
    return FaultStore(redis=redis)


class TestStore:
    async def test_later_fault_replaces_an_earlier_one_between_the_same_services(self, store: FaultStore) -> None:
        for kind in (FaultKind.SLOW, FaultKind.HANG):
            await store.switch_on(create_fault(kind))
        await store.switch_on(create_fault(FaultKind.SLOW, target="elsewhere"))
        assert [(fault.target, fault.kind) for fault in await store.all()] == [("elsewhere", "slow"), ("there", "hang")]

    async def test_expired_fault_is_not_listed_when_another_is_active(self, store: FaultStore) -> None:
        await store.switch_on(create_fault(FaultKind.HANG, seconds=60))
        await store.switch_on(create_fault(FaultKind.SLOW, target="elsewhere", seconds=-1))
        assert [fault.target for fault in await store.all()] == ["there"]

    async def test_redis_hash_expires_with_the_last_fault(self, store: FaultStore, redis: Redis) -> None:
        await store.switch_on(create_fault(FaultKind.HANG, seconds=600))
        await store.switch_on(create_fault(FaultKind.SLOW, target="elsewhere", seconds=60))
        assert 590 < await redis.ttl(KEY) <= 600

    async def test_clear_deletes_the_faults_of_the_given_source_and_target(self, store: FaultStore) -> None:
        for source, target in (("a", "x"), ("a", "y"), ("b", "x")):
            await store.switch_on(create_fault(FaultKind.HANG, source=source, target=target))
        await store.clear(source="a", target="x")
        assert [(fault.source, fault.target) for fault in await store.all()] == [("a", "y"), ("b", "x")]
        await store.clear(target="y")
        assert [(fault.source, fault.target) for fault in await store.all()] == [("b", "x")]
        await store.clear()
        assert await store.all() == []


class TestWatch:
    async def test_process_reads_only_the_faults_of_its_own_calls(self, store: FaultStore, redis: Redis) -> None:
        settings = ServiceSettings(environment=Environment.DEVELOPMENT)
        async with watch_faults(settings, source="here", redis=redis) as faults:
            assert faults.match("there") is None
            await store.switch_on(create_fault(FaultKind.HANG, source="elsewhere", target="other"))
            await store.switch_on(create_fault(FaultKind.HANG))
            await eventually(lambda: faults.match("there"))
            assert faults.match("other") is None
            await store.clear()
            await eventually(lambda: faults.match("there") is None)

    @pytest.mark.parametrize("environment", [Environment.TEST, Environment.PRODUCTION])
    async def test_faults_are_not_read_outside_development(
        self, store: FaultStore, redis: Redis, environment: Environment
    ) -> None:
        await store.switch_on(create_fault(FaultKind.HANG))
        tasks_before = asyncio.all_tasks()
        settings = ServiceSettings(environment=environment)
        async with watch_faults(settings, source="here", redis=redis) as faults:
            assert asyncio.all_tasks() == tasks_before, "no background loop must read the faults"
            assert faults.match("there") is None


class TestActiveFaults:
    async def test_fault_ends_when_it_expires(self) -> None:
        faults = ActiveFaults()
        faults.update({"there": create_fault(FaultKind.HANG, seconds=1)})
        assert faults.match("there")
        await eventually(lambda: faults.match("there") is None)

    def test_fault_applies_to_a_percentage_of_the_calls(self) -> None:
        faults = ActiveFaults()
        faults.update({"there": create_fault(FaultKind.ERRORS, value=50)})
        applied = sum(faults.match("there") is not None for _ in range(1_000))
        assert 350 < applied < 650  # 500 ± nine standard deviations

    def test_fault_applies_to_the_given_number_of_calls_when_another_fault_is_added(self) -> None:
        faults, fault_of_two_calls = ActiveFaults(), create_fault(FaultKind.ERRORS, times=2)
        faults.update({"there": fault_of_two_calls})
        applied = [faults.match("there") is not None]
        faults.update({"there": fault_of_two_calls, "elsewhere": create_fault(FaultKind.HANG)})
        applied += [faults.match("there") is not None for _ in range(3)]
        assert applied == [True, True, False, False]

    def test_probe_matches_only_a_fault_of_all_calls_and_is_not_counted(self) -> None:
        faults = ActiveFaults()
        faults.update({"there": create_fault(FaultKind.ERRORS, times=1), "elsewhere": create_fault(FaultKind.HANG)})
        assert faults.match("there", is_probe=True) is None
        assert faults.match("elsewhere", is_probe=True)
        assert faults.match("there"), "the probe must not use up the only call"


CRASHING_PROGRAM = """
import asyncio, sys
from shared.faults.crash_points import crash_point
from shared.faults import watch_faults
from shared.db.redis import create_redis
from shared.config import Environment, ServiceSettings

async def main():
    settings = ServiceSettings(environment=Environment.DEVELOPMENT)
    async with create_redis(sys.argv[1]) as redis, watch_faults(settings, source="here", redis=redis) as faults:
        print("runs", flush=True)
        while faults.match("here") is None:
            crash_point("a.point")
            await asyncio.sleep(0.01)
        crash_point("a.point")

asyncio.run(main())
"""


class TestCrash:
    async def test_process_crashes_only_when_it_started_before_the_fault(
        self, store: FaultStore, redis_url: str
    ) -> None:
        earlier = await self._start_process(redis_url)
        await store.switch_on(create_fault(FaultKind.CRASH, target="here", at="a.point"))
        assert await earlier.wait() == CRASHED
        later = await self._start_process(redis_url)
        assert await later.wait() == 0

    async def _start_process(self, redis_url: str) -> asyncio.subprocess.Process:
        """Start a process that reaches the crash point again and again, and ends when it has read the fault."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CRASHING_PROGRAM,
            redis_url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return process


class TestCallsByHttpx:
    @pytest.fixture
    async def url(self) -> AsyncIterator[str]:
        app = FastAPI()

        @app.get("/")
        async def respond() -> str:
            return "ok"

        async with serve(app) as url:
            yield url

    @pytest.fixture
    def faults(self) -> ActiveFaults:
        return ActiveFaults()

    @pytest.fixture
    async def client(self, url: str, faults: ActiveFaults) -> AsyncIterator[httpx.AsyncClient]:
        async with open_http_client(url, to="there", faults=faults, timeout_s=TIMEOUT_S) as client:
            yield client

    async def test_response_is_503_when_errors_are_injected(
        self, client: httpx.AsyncClient, faults: ActiveFaults, metrics: RecordedMetrics
    ) -> None:
        faults.update({"there": create_fault(FaultKind.ERRORS)})
        response = await client.get("/")
        assert response.status_code == 503
        assert response.json()["type"].endswith("/fault-switched-on")
        assert response.json()["instance"] == "/"
        attributes = {"service.peer.name": "there", "hopline.fault": "errors"}
        assert metrics.value("hopline.faults.suffered", attributes) == 1

    async def test_call_fails_when_a_disconnect_is_injected(
        self, client: httpx.AsyncClient, faults: ActiveFaults
    ) -> None:
        faults.update({"there": create_fault(FaultKind.DISCONNECT)})
        with pytest.raises(httpx.ReadError):
            await client.get("/")

    @pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.SLOW])
    async def test_call_times_out_when_the_injected_delay_exceeds_its_timeout(
        self, url: str, faults: ActiveFaults, kind: FaultKind
    ) -> None:
        faults.update({"there": create_fault(kind, value=60_000)})
        async with open_http_client(url, to="there", faults=faults, timeout_s=0.3) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/")

    async def test_call_succeeds_when_the_injected_delay_is_short(
        self, client: httpx.AsyncClient, faults: ActiveFaults, metrics: RecordedMetrics
    ) -> None:
        faults.update({"there": create_fault(FaultKind.SLOW, value=1)})
        assert (await client.get("/")).json() == "ok"
        assert metrics.value("hopline.faults.suffered", {"hopline.fault": "slow"}) == 1

    async def test_call_succeeds_when_the_fault_has_another_target(
        self, client: httpx.AsyncClient, faults: ActiveFaults
    ) -> None:
        faults.update({"elsewhere": create_fault(FaultKind.DISCONNECT)})
        assert (await client.get("/")).json() == "ok"
