import asyncio
from collections.abc import AsyncIterator
from time import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import WatchError

from testkit.rejections import REDIS_REJECTIONS, rejecting_writes
from testkit.servers import StartValkey, ValkeyServer
from testkit.waiting import TIMEOUT_S, eventually
from workers.queue.arq_redis import MAX_WAKE_UPS, JobRedis, wake_up_key
from workers.queue.dispatcher import Dispatcher, arq_id

from .factories import queued_job

OUTAGE_S = 0.3
"""Time for which a test checks that a command waits for Redis."""


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[JobRedis]:
    client = JobRedis(url=redis_url, queue_name="q")
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
async def second_client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as second_client:
        yield second_client


async def close_other_connections(second_client: Redis) -> None:
    """Close all connections to this database except this one. Other databases belong to concurrent tests."""
    own_id = await second_client.client_id()
    connections = await second_client.client_list()
    database = next(connection["db"] for connection in connections if int(connection["id"]) == own_id)
    for connection in connections:
        if connection["db"] == database and int(connection["id"]) != own_id:
            await second_client.client_kill_filter(_id=connection["id"])


class TestLostWatch:
    async def test_transaction_fails_and_reads_succeed_when_the_connection_is_lost(
        self, client: JobRedis, second_client: Redis
    ) -> None:
        await second_client.set("unrelated", "5")
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            await close_other_connections(second_client)
            assert await pipe.exists("watched") == 0
            assert await pipe.get("unrelated") == b"5"
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            with pytest.raises(WatchError):
                await pipe.execute()
        assert await second_client.get("watched") is None

    async def test_transaction_fails_when_the_connection_is_lost_before_execute(
        self, client: JobRedis, second_client: Redis
    ) -> None:
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            await close_other_connections(second_client)
            with pytest.raises(WatchError):
                await pipe.execute()

    async def test_transaction_succeeds_when_the_watch_is_kept(self, client: JobRedis, second_client: Redis) -> None:
        async with client.pipeline(transaction=True) as pipe:
            await pipe.watch("watched")
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set("watched", "mine")
            await pipe.execute()
        assert await second_client.get("watched") == b"mine"


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
                await asyncio.wait_for(asyncio.shield(waiting), OUTAGE_S)
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
                    await asyncio.wait_for(asyncio.shield(waiting), OUTAGE_S)
            assert await waiting == [True, [1, 2]]
            await client.connection_pool.disconnect()

    async def test_command_is_still_repeated_when_it_has_failed_1024_times(self) -> None:
        """The exponential backoff of redis-py raises OverflowError then."""
        failures = 0

        async def reject(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal failures
            failures += 1
            writer.close()

        server = await asyncio.start_server(reject, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, JobRedis(url=url, queue_name="q", retry_pause_s=0.0) as client:
            ping = asyncio.ensure_future(client.ping())
            await eventually(lambda: failures > 1024 or ping.done(), timeout=8 * TIMEOUT_S)
            assert not ping.done()
            ping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ping
            await client.connection_pool.disconnect()

    async def test_delete_returns_when_redis_is_down(self, valkey: ValkeyServer) -> None:
        async with JobRedis(url=valkey.url, queue_name="q") as client:
            valkey.kill()
            await client.delete("health-check")
            await client.connection_pool.disconnect()


class TestReset:
    async def test_connection_is_closed_when_a_reset_is_cancelled(self, client: JobRedis, second_client: Redis) -> None:
        pipe = client.pipeline()
        await pipe.watch("q")
        await second_client.client_pause(300)  # milliseconds, in which Redis sends no response
        resetting = asyncio.create_task(pipe.reset())
        await asyncio.sleep(0)  # starts the task, which sends UNWATCH and waits for the response
        resetting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await resetting
        assert pipe.connection is None
        assert await client.exists("q") == 0


class TestWaiting:
    """The read of the queue that ARQ repeats. Its timeouts exceed a test, so only the test ends the wait."""

    @pytest.fixture
    async def client(self, redis_url: str) -> AsyncIterator[JobRedis]:
        client = JobRedis(url=redis_url, queue_name="q", wait_s=3600, response_timeout_s=7200)
        assert await self._poll(client) == []  # the first read does not wait
        yield client
        await client.aclose(close_connection_pool=True)

    @pytest.fixture
    def dispatcher(self, second_client: Redis) -> Dispatcher:
        return Dispatcher(redis=second_client, queue_of=lambda _type_name: "q")

    async def test_poll_returns_without_waiting_when_a_job_is_due(
        self, client: JobRedis, dispatcher: Dispatcher
    ) -> None:
        job = queued_job()
        await dispatcher.enqueue(job)
        assert await self._poll(client) == [arq_id(job)]

    async def test_wait_ends_when_a_job_is_enqueued(
        self, client: JobRedis, dispatcher: Dispatcher, second_client: Redis
    ) -> None:
        job, polling = queued_job(), asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(second_client))
        await dispatcher.enqueue(job)
        assert await polling == [arq_id(job)]

    async def test_wake_up_is_kept_when_it_precedes_the_wait(self, client: JobRedis, dispatcher: Dispatcher) -> None:
        later = queued_job(due_in_s=60)
        await dispatcher.enqueue(later)
        assert await self._poll(client) == [arq_id(later)]

    async def test_wait_ends_when_a_job_becomes_due(self, client: JobRedis, second_client: Redis) -> None:
        seconds, microseconds = await second_client.time()
        now_ms, delay_ms = seconds * 1000 + microseconds // 1000, 100
        await second_client.zadd("q", {"job": now_ms + delay_ms})
        assert await self._poll(client) == []
        assert await self._poll(client) == ["job"]

    async def test_wait_continues_when_the_due_job_has_started(
        self, client: JobRedis, dispatcher: Dispatcher, second_client: Redis
    ) -> None:
        started, job = queued_job(), queued_job()
        await dispatcher.enqueue(started)
        await second_client.delete(wake_up_key("q"))
        await second_client.set(f"arq:in-progress:{arq_id(started)}", "1")
        polling = asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(second_client))
        await dispatcher.enqueue(job)
        assert await polling == [arq_id(job)]

    async def test_wait_ends_when_the_mark_of_a_dead_worker_is_deleted(
        self, client: JobRedis, dispatcher: Dispatcher, second_client: Redis
    ) -> None:
        job = queued_job(due_in_s=-60)
        await dispatcher.enqueue(job)
        await second_client.delete(wake_up_key("q"))
        await second_client.set(f"arq:in-progress:{arq_id(job)}", "1", ex=60)
        polling = asyncio.create_task(self._poll(client))
        await eventually(lambda: self._is_waiting(second_client))
        await dispatcher.restore([job])
        async with asyncio.timeout(TIMEOUT_S):
            assert await polling == [arq_id(job)]

    async def test_unused_wake_ups_are_bounded(self, dispatcher: Dispatcher, second_client: Redis) -> None:
        await dispatcher.enqueue(*(queued_job() for _ in range(MAX_WAKE_UPS + 1)))
        assert await second_client.llen(wake_up_key("q")) == MAX_WAKE_UPS  # type: ignore[misc]

    async def _poll(self, client: JobRedis) -> list[str]:
        """Read the queue as `arq.worker.Worker` does, with the time in rounded milliseconds."""
        job_ids = await client.zrangebyscore("q", min=float("-inf"), start=0, num=100, max=round(time() * 1000))
        return [job_id.decode() for job_id in job_ids]

    async def _is_waiting(self, second_client: Redis) -> bool:
        own_connection = await second_client.client_info()
        return any(
            connection["cmd"] == "blpop" and connection["db"] == str(own_connection["db"])
            for connection in await second_client.client_list()
        )
