import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import WatchError

from testkit.servers import StartValkey, ValkeyServer
from testkit.waiting import eventually
from workers.arq_redis import PatientRedis


@pytest.fixture
async def patient(redis_url: str) -> AsyncIterator[PatientRedis]:
    client = PatientRedis(redis_url, queue="q")
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def cut_connections(other: Redis) -> None:
    """Those to the same database: on a given server others belong to the tests that run beside this one."""
    own = await other.client_id()
    clients = await other.client_list()
    database = next(client["db"] for client in clients if int(client["id"]) == own)
    for client in clients:
        if client["db"] == database and int(client["id"]) != own:
            await other.client_kill_filter(_id=client["id"])


class TestLostWatch:
    async def test_reads_are_answered_and_the_transaction_fails(self, patient: PatientRedis, other: Redis) -> None:
        await other.set("other", "5")
        async with patient.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            await cut_connections(other)
            assert await pipe.exists("watched") == 0
            assert await pipe.get("other") == b"5"
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            with pytest.raises(WatchError):
                await pipe.execute()
        assert await other.get("watched") is None

    async def test_at_the_end_fails_as_well(self, patient: PatientRedis, other: Redis) -> None:
        async with patient.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            await cut_connections(other)
            with pytest.raises(WatchError):
                await pipe.execute()

    async def test_untouched_watch_succeeds(self, patient: PatientRedis, other: Redis) -> None:
        async with patient.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            await pipe.execute()
        assert await other.get("watched") == b"mine"


class TestOutage:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    async def test_commands_and_pipelines_wait_until_it_is_over(self, valkey: ValkeyServer) -> None:
        async with PatientRedis(valkey.url, queue="q") as patient:
            await patient.ping()
            valkey.kill()
            pipe = patient.pipeline(transaction=True)
            pipe.incr("n")
            pipe.incr("n")
            waiting = asyncio.gather(patient.set("a", "1"), pipe.execute())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.3)
            valkey.start()
            assert await waiting == [True, [1, 2]]
            await patient.connection_pool.disconnect()

    async def test_ends_at_once_when_patience_has_ended(self, valkey: ValkeyServer) -> None:
        async with PatientRedis(valkey.url, queue="q") as patient:
            valkey.kill()
            waiting = asyncio.ensure_future(patient.set("a", "1"))
            await eventually(lambda: patient._patience._away)
            patient.end_patience()
            with pytest.raises((RedisConnectionError, OSError)):
                await waiting
            await patient.delete("a")
            await patient.connection_pool.disconnect()


class TestDrain:
    async def test_nothing_is_due_any_more(self, patient: PatientRedis) -> None:
        await patient.zadd("q", {"job": 1})
        assert await patient.zrangebyscore("q", 0, 2) == [b"job"]
        draining = asyncio.create_task(patient.drain())

        async def looks() -> bool:
            return not await patient.zrangebyscore("q", 0, 2)

        await eventually(looks)
        await draining
