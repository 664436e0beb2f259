import asyncio
from collections.abc import AsyncIterator
from time import time
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import WatchError

from testkit.refusals import REDIS_REFUSALS, refusing_writes
from testkit.servers import StartValkey, ValkeyServer
from testkit.waiting import eventually
from workers import arq_redis
from workers.arq_redis import MAX_WAKE_UPS, JobRedis, wake_up_key
from workers.dispatch import Dispatcher, arq_id
from workers.ledger import QueuedJob


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[JobRedis]:
    client = JobRedis(redis_url, queue_name="q")
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as other:
        yield other


async def cut_connections(other: Redis) -> None:
    """Those to the same database: on a given server others belong to the tests that run beside this one."""
    own = await other.client_id()
    clients = await other.client_list()
    database = next(client["db"] for client in clients if int(client["id"]) == own)
    for client in clients:
        if client["db"] == database and int(client["id"]) != own:
            await other.client_kill_filter(_id=client["id"])


class TestLostWatch:
    async def test_reads_are_answered_and_the_transaction_fails(self, client: JobRedis, other: Redis) -> None:
        await other.set("other", "5")
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            await cut_connections(other)
            assert await pipe.exists("watched") == 0
            assert await pipe.get("other") == b"5"
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            with pytest.raises(WatchError):
                await pipe.execute()
        assert await other.get("watched") is None

    async def test_at_the_end_fails_as_well(self, client: JobRedis, other: Redis) -> None:
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            await cut_connections(other)
            with pytest.raises(WatchError):
                await pipe.execute()

    async def test_untouched_watch_succeeds(self, client: JobRedis, other: Redis) -> None:
        async with client.pipeline(transaction=True) as pipe:
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
        async with JobRedis(valkey.url, queue_name="q") as client:
            await client.ping()
            valkey.kill()
            pipe = client.pipeline(transaction=True)
            pipe.incr("n")
            pipe.incr("n")
            waiting = asyncio.gather(client.set("a", "1"), pipe.execute())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(waiting), 0.3)
            valkey.start()
            assert await waiting == [True, [1, 2]]
            await client.connection_pool.disconnect()

    @pytest.mark.parametrize("refusal", REDIS_REFUSALS)
    async def test_commands_and_pipelines_wait_while_writes_are_refused(
        self, valkey: ValkeyServer, refusal: str
    ) -> None:
        async with JobRedis(valkey.url, queue_name="q") as client:
            async with refusing_writes(valkey.url, refusal):
                pipe = client.pipeline(transaction=True)
                pipe.incr("n")
                pipe.incr("n")
                waiting = asyncio.gather(client.set("a", "1"), pipe.execute())
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(waiting), 0.3)
            assert await waiting == [True, [1, 2]]
            await client.connection_pool.disconnect()

    async def test_of_any_length_is_waited_out(self, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """redis-py's own backoff overflows at the 1,024th failure."""
        monkeypatch.setattr(arq_redis, "RETRY_PAUSE_S", 0.0)
        async with JobRedis(valkey.url, queue_name="q") as client:
            await client.ping()
            valkey.kill()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.ping(), 3.0)
            valkey.start()
            assert await client.ping()
            await client.connection_pool.disconnect()

    async def test_does_not_keep_the_worker_from_closing(self, valkey: ValkeyServer) -> None:
        async with JobRedis(valkey.url, queue_name="q") as client:
            valkey.kill()
            await client.delete("health-check")
            await client.connection_pool.disconnect()


class TestReset:
    async def test_cancelled_reset_keeps_no_connection(self, client: JobRedis, other: Redis) -> None:
        pipe = client.pipeline()
        await pipe.watch("q")
        await other.client_pause(300)
        resetting = asyncio.create_task(pipe.reset())
        await asyncio.sleep(0)  # UNWATCH is sent, and its reply is awaited
        resetting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await resetting
        assert pipe.connection is None
        assert await client.exists("q") == 0


class TestWaiting:
    """What ARQ asks in each poll. Only what a test does can end the wait."""

    @pytest.fixture(autouse=True)
    def _endless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(arq_redis, "WAIT_S", 3600)
        monkeypatch.setattr(arq_redis, "RESPONSE_TIMEOUT_S", 3600.0)

    @pytest.fixture
    def dispatcher(self, other: Redis) -> Dispatcher:
        return Dispatcher(redis=other, queue_of=lambda _kind: "q")

    async def test_due_job_is_returned_at_once(self, client: JobRedis, dispatcher: Dispatcher) -> None:
        job = queued()
        await dispatcher.enqueue(job)
        assert await self._poll(client) == [arq_id(job)]

    async def test_enqueued_job_ends_the_wait(self, client: JobRedis, dispatcher: Dispatcher, other: Redis) -> None:
        job, polling = queued(), asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(other))
        await dispatcher.enqueue(job)
        assert await polling == [arq_id(job)]

    async def test_wake_up_before_the_wait_is_kept(self, client: JobRedis, dispatcher: Dispatcher) -> None:
        later = queued(due_in_s=60)
        await dispatcher.enqueue(later)
        assert await self._poll(client) == [arq_id(later)]

    async def test_job_that_becomes_due_ends_the_wait(self, client: JobRedis, other: Redis) -> None:
        seconds, microseconds = await other.time()
        await other.zadd("q", {"job": seconds * 1000 + microseconds // 1000 + 100})
        assert await self._poll(client) == []
        assert await self._poll(client) == ["job"]

    async def test_started_job_does_not_end_the_wait(
        self, client: JobRedis, dispatcher: Dispatcher, other: Redis
    ) -> None:
        started, job = queued(), queued()
        await dispatcher.enqueue(started)
        await other.delete(wake_up_key("q"))
        await other.set(f"arq:in-progress:{arq_id(started)}", "1")
        polling = asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(other))
        await dispatcher.enqueue(job)
        assert await polling == [arq_id(job)]

    async def test_unused_wake_ups_are_bounded(self, dispatcher: Dispatcher, other: Redis) -> None:
        await dispatcher.enqueue(*(queued() for _ in range(MAX_WAKE_UPS + 5)))
        assert await other.llen(wake_up_key("q")) == MAX_WAKE_UPS  # type: ignore[misc]

    async def _poll(self, client: JobRedis) -> list[str]:
        """Read the queue as `arq.worker.Worker` does."""
        found = await client.zrangebyscore("q", min=float("-inf"), start=0, num=100, max=int(time() * 1000))
        return [job_id.decode() for job_id in found]

    async def _is_waiting(self, other: Redis) -> bool:
        own = await other.client_info()
        return any(one["cmd"] == "blpop" and one["db"] == str(own["db"]) for one in await other.client_list())


def queued(*, due_in_s: float = 0.0) -> QueuedJob:
    return QueuedJob(job_id=uuid4(), kind="send_fax", attempt=1, due_in_s=due_in_s)
