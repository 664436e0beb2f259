import asyncio
from collections.abc import AsyncIterator
from time import time
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import WatchError

from testkit.rejections import REDIS_REJECTIONS, rejecting_writes
from testkit.servers import StartValkey, ValkeyServer
from testkit.waiting import TIMEOUT_S, eventually
from workers.jobs.repository import QueuedJob
from workers.queue.arq_redis import MAX_WAKE_UPS, JobRedis, wake_up_key
from workers.queue.dispatcher import Dispatcher, arq_id


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[JobRedis]:
    client = JobRedis(url=redis_url, queue_name="q")
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as other:
        yield other


async def close_connections(other: Redis) -> None:
    """Close the connections to this database. Other databases of the server belong to concurrent tests."""
    own = await other.client_id()
    clients = await other.client_list()
    database = next(client["db"] for client in clients if int(client["id"]) == own)
    for client in clients:
        if client["db"] == database and int(client["id"]) != own:
            await other.client_kill_filter(_id=client["id"])


class TestLostWatch:
    async def test_transaction_fails_and_reads_succeed_when_the_connection_is_lost(
        self, client: JobRedis, other: Redis
    ) -> None:
        await other.set("other", "5")
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            await close_connections(other)
            assert await pipe.exists("watched") == 0
            assert await pipe.get("other") == b"5"
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            with pytest.raises(WatchError):
                await pipe.execute()
        assert await other.get("watched") is None

    async def test_transaction_fails_when_the_connection_is_lost_before_execute(
        self, client: JobRedis, other: Redis
    ) -> None:
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            await close_connections(other)
            with pytest.raises(WatchError):
                await pipe.execute()

    async def test_transaction_succeeds_when_the_watch_is_kept(self, client: JobRedis, other: Redis) -> None:
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

    async def test_commands_and_pipelines_wait_when_redis_is_down(self, valkey: ValkeyServer) -> None:
        async with JobRedis(url=valkey.url, queue_name="q") as client:
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

    @pytest.mark.parametrize("rejection", REDIS_REJECTIONS)
    async def test_commands_and_pipelines_wait_when_writes_are_rejected(
        self, valkey: ValkeyServer, rejection: str
    ) -> None:
        async with JobRedis(url=valkey.url, queue_name="q") as client:
            async with rejecting_writes(valkey.url, rejection):
                pipe = client.pipeline(transaction=True)
                pipe.incr("n")
                pipe.incr("n")
                waiting = asyncio.gather(client.set("a", "1"), pipe.execute())
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(waiting), 0.3)
            assert await waiting == [True, [1, 2]]
            await client.connection_pool.disconnect()

    async def test_command_is_repeated_when_the_outage_is_long(self, valkey: ValkeyServer) -> None:
        """The backoff of redis-py overflows at the 1,024th failure."""
        async with JobRedis(url=valkey.url, queue_name="q", retry_pause_s=0.0) as client:
            await client.ping()
            valkey.kill()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.ping(), 3.0)
            valkey.start()
            assert await client.ping()
            await client.connection_pool.disconnect()

    async def test_delete_returns_when_redis_is_down(self, valkey: ValkeyServer) -> None:
        async with JobRedis(url=valkey.url, queue_name="q") as client:
            valkey.kill()
            await client.delete("health-check")
            await client.connection_pool.disconnect()


class TestReset:
    async def test_connection_is_closed_when_a_reset_is_cancelled(self, client: JobRedis, other: Redis) -> None:
        pipe = client.pipeline()
        await pipe.watch("q")
        await other.client_pause(300)
        resetting = asyncio.create_task(pipe.reset())
        await asyncio.sleep(0)  # UNWATCH is sent, and its response is awaited
        resetting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await resetting
        assert pipe.connection is None
        assert await client.exists("q") == 0


class TestWaiting:
    """The read of the queue that ARQ repeats. Its timeouts are disabled, so only the test can end the wait."""

    @pytest.fixture
    async def client(self, redis_url: str) -> AsyncIterator[JobRedis]:
        client = JobRedis(url=redis_url, queue_name="q", wait_s=3600, response_timeout_s=7200)
        yield client
        await client.aclose(close_connection_pool=True)

    @pytest.fixture
    def dispatcher(self, other: Redis) -> Dispatcher:
        return Dispatcher(redis=other, queue_of=lambda _type_name: "q")

    async def test_poll_returns_without_waiting_when_a_job_is_due(
        self, client: JobRedis, dispatcher: Dispatcher
    ) -> None:
        job = queued()
        await dispatcher.enqueue(job)
        assert await self._poll(client) == [arq_id(job)]

    async def test_wait_ends_when_a_job_is_enqueued(
        self, client: JobRedis, dispatcher: Dispatcher, other: Redis
    ) -> None:
        job, polling = queued(), asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(other))
        await dispatcher.enqueue(job)
        assert await polling == [arq_id(job)]

    async def test_wake_up_is_kept_when_it_precedes_the_wait(self, client: JobRedis, dispatcher: Dispatcher) -> None:
        later = queued(due_in_s=60)
        await dispatcher.enqueue(later)
        assert await self._poll(client) == [arq_id(later)]

    async def test_wait_ends_when_a_job_becomes_due(self, client: JobRedis, other: Redis) -> None:
        seconds, microseconds = await other.time()
        await other.zadd("q", {"job": seconds * 1000 + microseconds // 1000 + 100})
        assert await self._poll(client) == []
        assert await self._poll(client) == ["job"]

    async def test_wait_continues_when_the_due_job_has_started(
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

    async def test_wait_ends_when_the_mark_of_a_dead_worker_is_deleted(
        self, client: JobRedis, dispatcher: Dispatcher, other: Redis
    ) -> None:
        job = queued(due_in_s=-60)
        await dispatcher.enqueue(job)
        await other.delete(wake_up_key("q"))
        await other.set(f"arq:in-progress:{arq_id(job)}", "1", ex=60)
        polling = asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(other))
        await dispatcher.restore([job])
        async with asyncio.timeout(TIMEOUT_S):
            assert await polling == [arq_id(job)]

    async def test_unused_wake_ups_are_bounded(self, dispatcher: Dispatcher, other: Redis) -> None:
        await dispatcher.enqueue(*(queued() for _ in range(MAX_WAKE_UPS + 5)))
        assert await other.llen(wake_up_key("q")) == MAX_WAKE_UPS  # type: ignore[misc]

    async def _poll(self, client: JobRedis) -> list[str]:
        """Read the queue as `arq.worker.Worker` does. ARQ rounds the time, also that of an enqueued job."""
        found = await client.zrangebyscore("q", min=float("-inf"), start=0, num=100, max=round(time() * 1000))
        return [job_id.decode() for job_id in found]

    async def _is_waiting(self, other: Redis) -> bool:
        own = await other.client_info()
        return any(
            connection["cmd"] == "blpop" and connection["db"] == str(own["db"])
            for connection in await other.client_list()
        )


def queued(*, due_in_s: float = 0.0) -> QueuedJob:
    return QueuedJob(job_id=uuid4(), type_name="send_fax", attempt=1, due_in_s=due_in_s)
