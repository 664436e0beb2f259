import orjson
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from testkit.rejections import rejecting_writes
from testkit.servers import StartValkey
from workers.queue.dispatcher import MARK_S, STUCK_S, Dispatcher, arq_id

from .factories import queued_job
from .harness import Harness


def dispatcher(harness: Harness) -> Dispatcher:
    return Dispatcher(redis=harness.redis, queue_of=lambda _type_name: "q")


class TestEnqueue:
    async def test_enqueue_writes_an_entry_that_arq_reads(self, harness: Harness) -> None:
        delay_s = 60
        job = queued_job(due_in_s=delay_s)
        await dispatcher(harness).enqueue(job)
        entry = orjson.loads(await harness.redis.get(f"arq:job:{job.job_id}:1") or b"{}")
        assert (entry["f"], entry["a"]) == ("send_fax", [str(job.job_id)])
        now_s, _ = await harness.redis.time()
        due_ms = await harness.redis.zscore("q", arq_id(job))
        assert due_ms is not None
        assert due_ms / 1000 - now_s == pytest.approx(delay_s, abs=5)

    async def test_enqueue_adds_one_entry_when_it_is_repeated(self, harness: Harness) -> None:
        job = queued_job()
        for _ in range(2):
            await dispatcher(harness).enqueue(job)
        assert await harness.redis.zcard("q") == 1

    async def test_enqueue_logs_a_warning_when_redis_rejects_writes(self, start_valkey: StartValkey) -> None:
        valkey = start_valkey()
        async with Redis.from_url(valkey.url) as redis, rejecting_writes(valkey.url, "out of memory"):
            with capture_logs() as logs:
                await Dispatcher(redis=redis, queue_of=lambda _type_name: "q").enqueue(queued_job())
        assert [(record["event"], record["log_level"]) for record in logs] == [("enqueue_failed", "warning")]

    async def test_enqueue_logs_an_error_when_redis_rejects_the_command(self, harness: Harness) -> None:
        await harness.redis.set("q", "not a queue")
        with capture_logs() as logs:
            await dispatcher(harness).enqueue(queued_job())
        (record,) = logs
        assert (record["event"], record["log_level"], record["exc_info"]) == ("enqueue_failed", "error", True)


class TestRestore:
    async def test_restore_adds_only_lost_entries(self, harness: Harness) -> None:
        kept, lost = queued_job(due_in_s=-2), queued_job(due_in_s=-2)
        await dispatcher(harness).enqueue(kept)
        assert await dispatcher(harness).restore([kept, lost]) == 1
        assert await harness.redis.zcard("q") == 2

    async def test_restore_deletes_the_mark_when_a_worker_died_before_its_claim(self, harness: Harness) -> None:
        fresh, stuck = queued_job(due_in_s=-60), queued_job(due_in_s=-60)
        for job, age_s in ((fresh, 1), (stuck, int(STUCK_S) + 1)):
            await dispatcher(harness).enqueue(job)
            await harness.redis.set(f"arq:in-progress:{arq_id(job)}", "1", ex=int(MARK_S) - age_s)
        assert await dispatcher(harness).restore([fresh, stuck]) == 0
        marks = await harness.redis.keys("arq:in-progress:*")
        assert marks == [f"arq:in-progress:{arq_id(fresh)}".encode()]

    async def test_lifetime_of_the_in_progress_mark_is_that_of_arq(self, harness: Harness) -> None:
        async with harness.run_worker() as worker:
            assert worker.in_progress_timeout_s == MARK_S
