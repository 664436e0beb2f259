"""Fault switches: where they are kept, who sees them, what calls by httpx suffer."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from shared.crash import CRASHED
from shared.faults import Fault, Faults, FaultStore, Kind, watched_faults
from shared.http import open_http_client
from shared.redis import redis_client
from shared.settings import Environment, ServiceSettings
from testkit.apps import serve
from testkit.metrics import Metrics
from testkit.waiting import PATIENCE_S, eventually


def fault(kind: Kind, *, seconds: float = 60, **given: Any) -> Fault:
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return Fault(**{"source": "here", "target": "there", "kind": kind, "value": 100, "until": until} | given)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[FaultStore]:
    async with redis_client(redis_url) as redis:
        yield FaultStore(redis=redis)


class TestStore:
    async def test_between_two_services_the_latest_counts(self, store: FaultStore) -> None:
        for kind in (Kind.SLOW, Kind.HANG):
            await store.switch_on(fault(kind))
        await store.switch_on(fault(Kind.SLOW, target="elsewhere"))
        assert [(one.target, one.kind) for one in await store.all()] == [("elsewhere", "slow"), ("there", "hang")]

    async def test_what_is_over_is_gone_whatever_else_is_on(self, store: FaultStore) -> None:
        await store.switch_on(fault(Kind.HANG, seconds=60))
        await store.switch_on(fault(Kind.SLOW, target="elsewhere", seconds=-1))
        assert [one.target for one in await store.all()] == ["there"]

    async def test_nothing_stays_in_redis(self, store: FaultStore) -> None:
        await store.switch_on(fault(Kind.HANG, seconds=600))
        await store.switch_on(fault(Kind.SLOW, target="elsewhere", seconds=60))
        assert 590 < await store._redis.ttl("faults") <= 600

    async def test_some_or_all_can_be_switched_off(self, store: FaultStore) -> None:
        for source, target in (("a", "x"), ("a", "y"), ("b", "x")):
            await store.switch_on(fault(Kind.HANG, source=source, target=target))
        await store.clear(source="a", target="x")
        assert [(one.source, one.target) for one in await store.all()] == [("a", "y"), ("b", "x")]
        await store.clear(target="y")
        await store.clear()
        assert await store.all() == []


class TestWatch:
    async def test_a_process_sees_its_own(self, store: FaultStore) -> None:
        settings = ServiceSettings(environment=Environment.DEVELOPMENT)
        async with watched_faults(settings, source="here", redis=store._redis) as faults:
            assert faults.towards("there") is None
            await store.switch_on(fault(Kind.HANG, source="elsewhere", target="other"))
            await store.switch_on(fault(Kind.HANG))
            await eventually(lambda: faults.towards("there"))
            assert faults.towards("other") is None
            await store.clear()
            await eventually(lambda: faults.towards("there") is None)

    @pytest.mark.parametrize("environment", [Environment.TEST, Environment.PRODUCTION])
    async def test_outside_development_nobody_looks(self, store: FaultStore, environment: Environment) -> None:
        await store.switch_on(fault(Kind.HANG))
        running = asyncio.all_tasks()
        settings = ServiceSettings(environment=environment)
        async with watched_faults(settings, source="here", redis=store._redis) as faults:
            assert asyncio.all_tasks() == running
            assert faults.towards("there") is None

    async def test_one_that_is_seen_ends_by_itself(self) -> None:
        faults = Faults()
        faults.see({"there": fault(Kind.HANG, seconds=1)})
        assert faults.towards("there")
        await eventually(lambda: faults.towards("there") is None)

    def test_a_share_of_the_calls_suffers(self) -> None:
        faults = Faults()
        faults.see({"there": fault(Kind.ERRORS, value=50)})
        struck = sum(faults.towards("there") is not None for _ in range(1_000))
        assert 350 < struck < 650

    def test_so_many_calls_suffer_and_no_more_whatever_else_is_switched(self) -> None:
        faults, twice = Faults(), fault(Kind.ERRORS, times=2)
        faults.see({"there": twice})
        struck = [faults.towards("there") is not None]
        faults.see({"there": twice, "elsewhere": fault(Kind.HANG)})
        struck += [faults.towards("there") is not None for _ in range(3)]
        assert struck == [True, True, False, False]

    def test_a_probe_suffers_what_all_calls_do_and_takes_no_turn_of_so_many(self) -> None:
        faults = Faults()
        faults.see({"there": fault(Kind.ERRORS, times=1), "elsewhere": fault(Kind.HANG)})
        assert faults.towards("there", is_probe=True) is None
        assert faults.towards("elsewhere", is_probe=True)
        assert faults.towards("there")


MORTAL = """
import asyncio, sys
from shared.crash import crash_point
from shared.faults import watched_faults
from shared.redis import redis_client
from shared.settings import Environment, ServiceSettings

async def main():
    settings = ServiceSettings(environment=Environment.DEVELOPMENT)
    async with redis_client(sys.argv[1]) as redis, watched_faults(settings, source="here", redis=redis) as faults:
        print("runs", flush=True)
        while faults.towards("here") is None:
            crash_point("a.point")
            await asyncio.sleep(0.01)
        crash_point("a.point")

asyncio.run(main())
"""


class TestCrash:
    async def test_who_runs_dies_at_the_point_and_who_comes_after_does_not(
        self, store: FaultStore, redis_url: str
    ) -> None:
        first = await self._run(redis_url)
        await store.switch_on(fault(Kind.CRASH, target="here", at="a.point"))
        assert await first.wait() == CRASHED
        assert await (await self._run(redis_url)).wait() == 0

    async def _run(self, redis_url: str) -> asyncio.subprocess.Process:
        """A process that has begun to watch, and ends once it has seen a switch."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MORTAL, redis_url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return process


class TestCallsByHttpx:
    @pytest.fixture
    async def url(self) -> AsyncIterator[str]:
        app = FastAPI()

        @app.get("/")
        async def answer() -> str:
            return "well"

        async with serve(app) as url:
            yield url

    @pytest.fixture
    def faults(self) -> Faults:
        return Faults()

    @pytest.fixture
    async def client(self, url: str, faults: Faults) -> AsyncIterator[httpx.AsyncClient]:
        async with open_http_client(url, to="there", faults=faults, timeout_s=PATIENCE_S) as client:
            yield client

    async def test_errors_are_answered_in_the_targets_name(
        self, client: httpx.AsyncClient, faults: Faults, counted: Metrics
    ) -> None:
        faults.see({"there": fault(Kind.ERRORS)})
        response = await client.get("/")
        assert response.status_code == 503
        assert response.json()["type"].endswith("/fault-switched-on")
        assert response.json()["instance"] == "/"
        suffered = {"service.peer.name": "there", "hopline.fault": "errors"}
        assert counted.value("hopline.faults.suffered", suffered) == 1

    async def test_a_connection_is_lost(self, client: httpx.AsyncClient, faults: Faults) -> None:
        faults.see({"there": fault(Kind.DISCONNECT)})
        with pytest.raises(httpx.ReadError):
            await client.get("/")

    @pytest.mark.parametrize("kind", [Kind.HANG, Kind.SLOW])
    async def test_who_waits_too_long_gives_up(self, url: str, faults: Faults, kind: Kind) -> None:
        faults.see({"there": fault(kind, value=60_000)})
        async with open_http_client(url, to="there", faults=faults, timeout_s=0.3) as hurried:
            with pytest.raises(httpx.ReadTimeout):
                await hurried.get("/")

    async def test_a_little_slow_is_an_answer_all_the_same(
        self, client: httpx.AsyncClient, faults: Faults, counted: Metrics
    ) -> None:
        faults.see({"there": fault(Kind.SLOW, value=1)})
        assert (await client.get("/")).json() == "well"
        assert counted.value("hopline.faults.suffered", {"hopline.fault": "slow"}) == 1

    async def test_another_target_does_not_suffer(self, client: httpx.AsyncClient, faults: Faults) -> None:
        faults.see({"elsewhere": fault(Kind.DISCONNECT)})
        assert (await client.get("/")).json() == "well"
