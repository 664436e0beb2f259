from uuid import uuid4

import orjson
from redis.asyncio import Redis
from structlog.testing import capture_logs

from testkit.rejections import rejecting_writes
from testkit.servers import StartValkey
from workers.jobs.repository import QueuedJob
from workers.queue.dispatcher import MARK_S, Dispatcher, arq_id

from .harness import Harness


def queued(*, due_in_s: float = 0.0, attempt: int = 1) -> QueuedJob:
    return QueuedJob(job_id=uuid4(), type_name="send_fax", attempt=attempt, due_in_s=due_in_s)


def dispatcher(harness: Harness) -> Dispatcher:
    return Dispatcher(redis=harness.redis, queue_of=lambda _type_name: "q")


class TestEnqueue:
    async def test_enqueue_writes_an_entry_that_arq_reads(self, harness: Harness) -> None:
        job = queued(due_in_s=60)
        await dispatcher(harness).enqueue(job)
        entry = orjson.loads(await harness.redis.get(f"arq:job:{job.job_id}:1") or b"{}")
        assert (entry["f"], entry["a"]) == ("send_fax", [str(job.job_id)])
        seconds, _ = await harness.redis.time()
        due = await harness.redis.zscore("q", arq_id(job))
        assert due is not None
        assert 55 < due / 1000 - seconds < 65

    async def test_enqueue_adds_one_entry_when_it_is_repeated(self, harness: Harness) -> None:
        job = queued()
        for _ in range(2):
            await dispatcher(harness).enqueue(job)
        assert await harness.redis.zcard("q") == 1

    async def test_enqueue_logs_a_warning_when_redis_rejects_writes(self, start_valkey: StartValkey) -> None:
        valkey = start_valkey()
        async with Redis.from_url(valkey.url) as redis, rejecting_writes(valkey.url, "out of memory"):
            with capture_logs() as logs:
                await Dispatcher(redis=redis, queue_of=lambda _type_name: "q").enqueue(queued())
        assert [(line["event"], line["log_level"]) for line in logs] == [("enqueue_failed", "warning")]

    async def test_enqueue_logs_an_error_when_redis_rejects_the_command(self, harness: Harness) -> None:
        await harness.redis.set("q", "not a queue")
        with capture_logs() as logs:
            await dispatcher(harness).enqueue(queued())
        [line] = logs
        assert (line["event"], line["log_level"], line["exc_info"]) == ("enqueue_failed", "error", True)


class TestRestore:
    async def test_restore_adds_only_lost_entries(self, harness: Harness) -> None:
        kept, lost = queued(due_in_s=-2), queued(due_in_s=-2)
        await dispatcher(harness).enqueue(kept)
        assert await dispatcher(harness).restore([kept, lost]) == 1
        assert await harness.redis.zcard("q") == 2

    async def test_restore_deletes_the_mark_when_a_worker_died_before_its_claim(self, harness: Harness) -> None:
        fresh, stuck = queued(due_in_s=-60), queued(due_in_s=-60)
        for job, age_s in ((fresh, 1), (stuck, 9)):
            await dispatcher(harness).enqueue(job)
            await harness.redis.set(f"arq:in-progress:{arq_id(job)}", "1", ex=int(MARK_S) - age_s)
        assert await dispatcher(harness).restore([fresh, stuck]) == 0
        marks = await harness.redis.keys("arq:in-progress:*")
        assert marks == [f"arq:in-progress:{arq_id(fresh)}".encode()]

    async def test_lifetime_of_a_mark_equals_that_of_arq(self, harness: Harness) -> None:
        async with harness.worker() as worker:
            assert worker.in_progress_timeout_s == MARK_S
